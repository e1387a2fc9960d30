// Command netcheck runs a command on a network device over SSH.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"

	"golang.org/x/crypto/ssh"

	"github.com/ruedo-dev/ruedo/sdk/web"
)

func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /run", serve)
	web.Serve(mux)
}

// Request is the body. The password is in it, and nowhere else: not in the path,
// which proxies log, and not in the environment, which everybody sees who sees the
// service.
type Request struct {
	// Address and port of the device.
	Address  string `json:"address"`
	User     string `json:"user"`
	Password string `json:"password"`
	// HostKey is the device's public key, as in a known_hosts file.
	HostKey string `json:"host_key"`
	// Command is what to run. Default: show version.
	Command string `json:"command"`
}

// Response is the answer if the command ran.
type Response struct {
	Output string `json:"output"`
	// Status is what the command exited with.
	Status int `json:"status"`
}

func serve(w http.ResponseWriter, r *http.Request) {
	var in Request
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, "the body is not valid JSON: "+err.Error(), http.StatusBadRequest)
		return
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(in.HostKey))
	if err != nil {
		http.Error(w, "host_key is not a public key such as \"ssh-ed25519 AAAA...\"", http.StatusBadRequest)
		return
	}
	out, err := run(r.Context(), in.Address, cmp.Or(in.Command, "show version"), &ssh.ClientConfig{
		User: in.User, Auth: []ssh.AuthMethod{ssh.Password(in.Password)},
		HostKeyCallback: ssh.FixedHostKey(key), HostKeyAlgorithms: algorithms(key),
	})
	res := Response{Output: string(out)}
	var exit *ssh.ExitError
	switch {
	case errors.As(err, &exit):
		res.Status = exit.ExitStatus()
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(res)
}

// Natively this serves the handler at http://127.0.0.1:8080: go run .
func main() { web.Main() }
