// Connect is a large honest guest: an HTTP server and client, Connect, JSON,
// templates and regular expressions. Admission is measured with it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"text/template"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"
)

func main() {
	mux := http.NewServeMux()
	mux.Handle("/echo", connect.NewUnaryHandler("/echo", func(_ context.Context, r *connect.Request[structpb.Struct]) (*connect.Response[structpb.Struct], error) {
		return connect.NewResponse(r.Msg), nil
	}))
	if err := json.NewEncoder(os.Stdout).Encode(os.Args); err != nil {
		panic(err)
	}
	word := regexp.MustCompile("a+").FindString("aaa")
	if err := template.Must(template.New("").Parse("{{.}}")).Execute(os.Stdout, word); err != nil {
		panic(err)
	}
	resp, err := http.Get("http://localhost")
	fmt.Println(resp, err, http.ListenAndServe(":8080", mux))
}
