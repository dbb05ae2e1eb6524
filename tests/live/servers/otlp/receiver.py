"""An OTLP logs receiver on the official protocol packages: prints each record as a line of JSON.

receiver.py PORT ANSWER [CERT KEY]; ANSWER: ok, slow (each request waits for 2 seconds), or a gRPC status to refuse with.
"""

import json
import sys
import time
from concurrent import futures

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc

port, answer = sys.argv[1], sys.argv[2]


class Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def Export(self, request, context):
        if answer == "slow":
            time.sleep(2)
        elif answer != "ok":
            context.abort(getattr(grpc.StatusCode, answer), "as asked")
        headers = dict(context.invocation_metadata())
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    line = MessageToDict(record)
                    # Base64 in JSON; hexadecimal is what people compare.
                    line["traceId"], line["spanId"] = record.trace_id.hex(), record.span_id.hex()
                    line["resource"] = MessageToDict(resource.resource)
                    line["scope"] = scope.scope.name
                    line["key"] = headers.get("x-key")
                    print(json.dumps(line), flush=True)
        return logs_service_pb2.ExportLogsServiceResponse()


server = grpc.server(futures.ThreadPoolExecutor(4))
logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)
if len(sys.argv) > 3:
    cert, key = (open(name, "rb").read() for name in sys.argv[3:5])
    credentials = grpc.ssl_server_credentials([(key, cert)])
    server.add_secure_port(f"127.0.0.1:{port}", credentials)
else:
    server.add_insecure_port(f"127.0.0.1:{port}")
server.start()
print("listening", flush=True)
server.wait_for_termination()
