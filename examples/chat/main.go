// Command chat is a bot that one talks to over a WebSocket.
package main

import (
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ruedo-dev/ruedo/sdk/web"
)

func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", chat)
	web.Serve(mux)
}

// maxMessage is how long a message can be, in bytes.
const maxMessage = 4 << 10

// chat talks for as long as the connection is open. The bot belongs to the connection,
// and so does what it remembers.
func chat(w http.ResponseWriter, r *http.Request) {
	var upgrader websocket.Upgrader
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	defer conn.Close()
	conn.SetReadLimit(maxMessage)
	var b bot
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			return // the other side has closed the connection, or is gone
		}
		if kind != websocket.TextMessage {
			leave(conn, websocket.CloseUnsupportedData, "send text")
			return
		}
		answer, bye := b.answer(string(message))
		if err := conn.WriteMessage(websocket.TextMessage, []byte(answer)); err != nil {
			return
		}
		if bye {
			leave(conn, websocket.CloseNormalClosure, "")
			return
		}
	}
}

// leave says why the connection ends. If the other side is gone, nobody needs to know.
func leave(conn *websocket.Conn, code int, why string) {
	_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, why), time.Now().Add(time.Second))
}

// Natively this serves the handler at http://127.0.0.1:8080: go run .
func main() { web.Main() }
