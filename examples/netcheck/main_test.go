package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/ruedo-dev/ruedo/internal/sshdevice"
	"github.com/ruedo-dev/ruedo/internal/testkit/sshtest"
	"github.com/ruedo-dev/ruedo/sdk/web"
)

func TestRun(t *testing.T) {
	device := sshtest.Start(t)
	s := web.Test(nil) // the handler that init has registered
	defer s.Close()
	impostor, err := ssh.NewPublicKey(make(ed25519.PublicKey, ed25519.PublicKeySize))
	if err != nil {
		t.Fatal(err)
	}
	text := func(k ssh.PublicKey) string { return string(ssh.MarshalAuthorizedKey(k)) }
	good := Request{Address: device.Address, User: sshdevice.User, Password: sshdevice.Password, HostKey: text(device.Keys[0])}
	with := func(change func(*Request)) Request {
		in := good
		change(&in)
		return in
	}
	for _, tt := range []struct {
		name   string
		in     Request
		status int
		want   string
	}{
		{"the default command", good, 200, `{"output":"ran show version","status":0}`},
		{"another key of the device", with(func(r *Request) { r.HostKey = text(device.Keys[1]) }), 200, `{"output":"ran show version","status":0}`},
		{"a command that fails", with(func(r *Request) { r.Command = "fail" }), 200, `{"output":"ran fail","status":3}`},
		{"a device that is another", with(func(r *Request) { r.HostKey = text(impostor) }), 502, "host key mismatch"},
		{"a wrong password", with(func(r *Request) { r.Password = "guess" }), 502, "unable to authenticate"},
		{"no host key", with(func(r *Request) { r.HostKey = "" }), 400, "host_key is not a public key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body, err := json.Marshal(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			res, err := s.Client().Post(s.URL+"/run", "application/json", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			got, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != tt.status || !strings.Contains(string(got), tt.want) {
				t.Errorf("got %d %s, %v; want %d %s", res.StatusCode, got, err, tt.status, tt.want)
			}
			if bytes.Contains(got, []byte(tt.in.Password)) {
				t.Errorf("%s has the password", got)
			}
		})
	}
}

func TestBodyThatIsNotJSON(t *testing.T) {
	s := web.Test(nil)
	defer s.Close()
	res, err := s.Client().Post(s.URL+"/run", "", strings.NewReader("{"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("got %s", res.Status)
	}
}
