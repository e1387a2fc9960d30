// Command network is a service of the tests that uses the network in every way.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ruedo-dev/ruedo/sdk/web"
)

func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("/get", get)
	mux.HandleFunc("/dial", dial)
	mux.HandleFunc("/flood", flood)
	mux.HandleFunc("/audit", audit)
	mux.HandleFunc("/nothing", func(http.ResponseWriter, *http.Request) {})
	web.Serve(mux)
}

func main() { web.Main() }

// fail answers with an error, and its reason if it is one of the host's.
func fail(w http.ResponseWriter, err error) {
	var out *web.OutboundError
	if errors.As(err, &out) {
		w.Header().Set("X-Reason", out.Reason)
	}
	http.Error(w, err.Error(), http.StatusBadGateway)
}

// get fetches a URL, with http.Get.
func get(w http.ResponseWriter, r *http.Request) {
	res, err := http.Get(r.FormValue("url"))
	if err != nil {
		fail(w, err)
		return
	}
	defer res.Body.Close()
	fmt.Fprintf(w, "%d ", res.StatusCode)
	_, _ = io.Copy(w, res.Body)
}

// dial connects, sends a text, ends it and returns the answer.
func dial(w http.ResponseWriter, r *http.Request) {
	conn, err := web.Dial(r.Context(), r.FormValue("network"), r.FormValue("address"))
	if err != nil {
		fail(w, err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, r.FormValue("text")); err != nil {
		fail(w, err)
		return
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok && r.FormValue("network") != "udp" {
		_ = c.CloseWrite()
	}
	buf := make([]byte, 1000)
	n, err := conn.Read(buf)
	if err != nil && err != io.EOF {
		fail(w, err)
		return
	}
	fmt.Fprintf(w, "%s from %s", buf[:n], conn.RemoteAddr())
}

// flood opens 10,000 connections, one after the other.
func flood(w http.ResponseWriter, r *http.Request) {
	good, limited := 0, 0
	for range 10_000 {
		conn, err := web.Dial(r.Context(), "tcp", r.FormValue("address"))
		var out *web.OutboundError
		switch {
		case err == nil:
			good++
			_ = conn.Close()
		case errors.As(err, &out) && out.Reason == "EGRESS_LIMIT":
			limited++
		default:
			fail(w, err)
			return
		}
	}
	fmt.Fprintf(w, "%d connections, %d over the limit", good, limited)
}

// audit runs a command on a device over SSH, whose host key it knows.
func audit(w http.ResponseWriter, r *http.Request) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(r.FormValue("hostkey")))
	if err != nil {
		fail(w, err)
		return
	}
	out, err := run(r.Context(), r.FormValue("address"), r.FormValue("command"), &ssh.ClientConfig{
		User: "audit", Auth: []ssh.AuthMethod{ssh.Password("secret")}, HostKeyCallback: ssh.FixedHostKey(key),
	})
	if err != nil {
		fail(w, err)
		return
	}
	_, _ = w.Write(out)
}

func run(ctx context.Context, address, command string, cfg *ssh.ClientConfig) ([]byte, error) {
	conn, err := web.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return session(conn, address, command, cfg)
}

func session(conn net.Conn, address, command string, cfg *ssh.ClientConfig) ([]byte, error) {
	defer conn.Close()
	c, channels, requests, err := ssh.NewClientConn(conn, address, cfg)
	if err != nil {
		return nil, err
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	s, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Output(command)
}
