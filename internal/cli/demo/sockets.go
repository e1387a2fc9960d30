package demo

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/crypto/ssh"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/sshdevice"
)

// sockets publishes services that hold connections, one of a caller and one to a
// device.
func (d *Demo) sockets() {
	d.title("A WebSocket: the service remembers who talks to it, for as long as the connection is open")
	d.published("chat")
	answers := d.talk("/svc/chat/", "my name is Ada", "who am I", "bye")
	d.expect(strings.Join(answers, " ") == "Hello, Ada! You are Ada. Goodbye.", "a connection is one call, with a memory of its own")

	d.title("A service logs in to a device over SSH, with the library that every Go program uses")
	device, err := sshdevice.Start()
	if err != nil {
		d.expect(false, "a device on this machine: %v", err)
		return
	}
	defer device.Close()
	out := d.ruedo("create", "decorator", "demo-device", "--egress", "tcp://"+device.Address)
	d.expect(out.code == 0, "the grant is for one device")
	d.published("netcheck", "--decorator", "demo-device")
	res := d.netcheck("device", device, device.Address)
	d.expect(res.status == http.StatusOK && strings.Contains(res.body, `"output":"ran show version"`), "the device ran the command")
	res = d.netcheck("core", device, strings.TrimPrefix(d.URL, "http://"))
	d.expect(res.status == http.StatusBadGateway && strings.Contains(res.body, "EGRESS_BLOCKED"), "nothing else is reached, least of all the core")
}

// netcheck has the service of that name log in somewhere, and prints the same as a
// curl command. The password is in a file, which that command reads.
func (d *Demo) netcheck(file string, device *sshdevice.Device, address string) answer {
	body, err := json.Marshal(map[string]string{
		"address": address, "user": sshdevice.User, "password": sshdevice.Password,
		"host_key": strings.TrimSpace(string(ssh.MarshalAuthorizedKey(device.Keys[0]))),
	})
	if err != nil {
		return answer{body: err.Error()}
	}
	file = filepath.Join(d.dir, file+".json")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return answer{body: err.Error()}
	}
	const path, contentType = "/svc/netcheck/run", "application/json"
	d.print("$ curl -si -H 'Content-Type: %s' -d @%s %s", contentType, file, d.URL+path)
	return d.send(http.MethodPost, path, contentType, string(body))
}

// talk sends messages over a WebSocket, and prints them and the answers as websocat
// does.
func (d *Demo) talk(path string, messages ...string) (answers []string) {
	url := "ws" + strings.TrimPrefix(d.URL, "http") + path
	d.print("$ websocat %s", output.Quote(url))
	conn, res, err := websocket.DefaultDialer.DialContext(d.ctx, url, nil)
	if err != nil {
		d.show(err.Error())
		return nil
	}
	defer res.Body.Close()
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(d.http.Timeout)) // reading says if it passes
	for _, m := range messages {
		d.print("%s", m)
		if err = conn.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
			break
		}
		_, text, readErr := conn.ReadMessage()
		if err = readErr; err != nil {
			break
		}
		answers = append(answers, string(text))
		d.show(string(text))
	}
	if err != nil {
		d.show(err.Error())
	}
	return answers
}
