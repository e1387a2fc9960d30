package reach

import (
	"testing"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

func TestCurl(t *testing.T) {
	for _, tt := range []struct {
		request    *ruedov1.HttpExample
		text, line string
	}{
		{&ruedov1.HttpExample{Path: "/"}, "GET /", "curl http://127.0.0.1:7833/svc/shop/"},
		{&ruedov1.HttpExample{Path: "/items?limit=5&x=1"}, "GET /items?limit=5&x=1", "curl 'http://127.0.0.1:7833/svc/shop/items?limit=5&x=1'"},
		{&ruedov1.HttpExample{Method: "HEAD", Path: "/"}, "HEAD /", "curl -I http://127.0.0.1:7833/svc/shop/"},
		{&ruedov1.HttpExample{Method: "DELETE", Path: "/7"}, "DELETE /7", "curl -X DELETE http://127.0.0.1:7833/svc/shop/7"},
		{
			&ruedov1.HttpExample{Method: "POST", Path: "/a", Headers: map[string]string{"b": "2", "a": "it's"}, Body: []byte(`{"n":1}`)},
			`POST /a {"n":1}`, `curl -H 'a: it'\''s' -H 'b: 2' --data-raw '{"n":1}' http://127.0.0.1:7833/svc/shop/a`,
		},
		{&ruedov1.HttpExample{Method: "POST", Path: "/a", Body: []byte("\x00\x01")}, "POST /a (2 bytes)", "curl --data-binary @FILE http://127.0.0.1:7833/svc/shop/a"},
		{
			&ruedov1.HttpExample{Method: "POST", Path: "/a", Headers: map[string]string{"Content-Type": "application/connect+json"}, Body: []byte("\x00\x01")},
			"POST /a (2 bytes)", "curl --http2-prior-knowledge -H 'Content-Type: application/connect+json' --data-binary @FILE http://127.0.0.1:7833/svc/shop/a",
		},
		{
			&ruedov1.HttpExample{Path: "/a", Headers: map[string]string{"upgrade": "websocket"}, Body: []byte("\x81\x80")},
			"GET /a (2 bytes)", "curl -iN -H 'upgrade: websocket' http://127.0.0.1:7833/svc/shop/a",
		},
		{&ruedov1.HttpExample{Path: "/a", Body: []byte("x")}, "GET /a x", "curl -X GET --data-raw x http://127.0.0.1:7833/svc/shop/a"},
	} {
		if got := Text(tt.request); got != tt.text {
			t.Errorf("%s, want %s", got, tt.text)
		}
		if got := Curl("http://127.0.0.1:7833", "shop", tt.request); got != tt.line {
			t.Errorf("%s, want %s", got, tt.line)
		}
	}
	none := Curls("http://127.0.0.1:7833", &ruedov1.Service{Name: "shop"})
	if len(none) != 1 || none[0] != "curl http://127.0.0.1:7833/svc/shop/" {
		t.Errorf("without an example: %q", none)
	}
}
