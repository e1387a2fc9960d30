package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/ruedo-dev/ruedo/sdk/web"
)

func dial(t *testing.T) *websocket.Conn {
	t.Helper()
	s := web.Test(nil) // the handler that init has registered
	t.Cleanup(s.Close)
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(s.URL, "http")+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestConversation(t *testing.T) {
	conn := dial(t)
	for _, line := range []struct{ say, want string }{
		{"who am I", "You have not said."},
		{"my name is Ada", "Hello, Ada!"},
		{" who am I\n", "You are Ada."},
		{"recall", "There is nothing to recall."},
		{"remember tea", "Things that I remember: 1."},
		{"remember milk", "Things that I remember: 2."},
		{"recall", "tea; milk"},
		{"what?", `I understand "my name is ...", "who am I", "remember ...", "recall" and "bye".`},
		{"bye", "Goodbye."},
	} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(line.say)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.ReadMessage(); err != nil || string(got) != line.want {
			t.Errorf("%s: got %q, %v; want %q", line.say, got, err, line.want)
		}
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("after bye: %v", err)
	}
}

func TestMessagesThatAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		kind, size, code int
	}{
		"bytes":     {websocket.BinaryMessage, 1, websocket.CloseUnsupportedData},
		"too large": {websocket.TextMessage, maxMessage + 1, websocket.CloseMessageTooBig},
	} {
		conn := dial(t)
		if err := conn.WriteMessage(tt.kind, make([]byte, tt.size)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, tt.code) {
			t.Errorf("%s: got %v, want code %d", name, err, tt.code)
		}
	}
}

func TestBotForgetsTooMuch(t *testing.T) {
	var b bot
	for range maxNotes {
		b.answer("remember x")
	}
	if text, _ := b.answer("remember x"); text != "That is too much for me." {
		t.Errorf("got %q", text)
	}
}

func TestPlainRequest(t *testing.T) {
	s := web.Test(nil)
	defer s.Close()
	res, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("got %s", res.Status)
	}
}
