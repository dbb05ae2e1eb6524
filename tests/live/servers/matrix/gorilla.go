// gorilla/websocket, which compares Origin's host with Host unless told otherwise.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/gorilla/websocket"
)

func main() {
	upgrader := websocket.Upgrader{}
	http.HandleFunc("/gorilla/chat/", func(answer http.ResponseWriter, request *http.Request) {
		if request.URL.Query().Get("token") == "expired" {
			http.Error(answer, "token expired", http.StatusUnauthorized)
			return
		}
		for _, offered := range websocket.Subprotocols(request) {
			if offered == "stale.v1" {
				http.Error(answer, "unsupported subprotocol", http.StatusBadRequest)
				return
			}
		}
		connection, err := upgrader.Upgrade(answer, request, nil)
		if err != nil {
			return
		}
		defer connection.Close()
		connection.ReadMessage()
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, nil))
}
