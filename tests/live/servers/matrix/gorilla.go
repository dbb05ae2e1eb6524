// gorilla/websocket, which compares Origin's host with Host unless told otherwise.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

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
	// With a certificate and its key as arguments: over TLS, with an echo and a refusal.
	anybody := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	http.HandleFunc("/accept/", func(answer http.ResponseWriter, request *http.Request) {
		connection, err := anybody.Upgrade(answer, request, nil)
		if err != nil {
			return
		}
		defer connection.Close()
		for {
			kind, message, err := connection.ReadMessage()
			if err != nil {
				return
			}
			connection.WriteMessage(kind, message)
		}
	})
	http.HandleFunc("/reject/403/", func(answer http.ResponseWriter, request *http.Request) {
		http.Error(answer, "not today", http.StatusForbidden)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening", listener.Addr().(*net.TCPAddr).Port)
	if len(os.Args) > 2 {
		log.Fatal(http.ServeTLS(listener, nil, os.Args[1], os.Args[2]))
	}
	log.Fatal(http.Serve(listener, nil))
}
