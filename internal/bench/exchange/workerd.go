package exchange

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/process"
)

//go:embed site.js
var script []byte

const workerdConfig = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
	services = [(name = "site", worker = (
		modules = [(name = "site.js", esModule = embed "site.js")],
		compatibilityDate = "2026-01-01",
	))],
	sockets = [(name = "http", address = "127.0.0.1:%s", http = (), service = "site")],
);
`

// workerd starts workerd behind the proxy of the native peer. It returns nil if
// workerd is not installed. Npm installs it, and a script that starts it, whose
// processor time says nothing: it is the program that has to be on the PATH.
func workerd(ctx context.Context, g *process.Group, dir string) (*subject, error) {
	program, err := exec.LookPath("workerd")
	if err != nil {
		fmt.Println("workerd: skipped, it is not installed")
		return nil, nil
	}
	if isScript(program) {
		fmt.Printf("workerd: skipped, %s is a script that starts it\n", program)
		return nil, nil
	}
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "site.capnp")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "site.js"), script, 0o600), os.WriteFile(config, fmt.Appendf(nil, workerdConfig, port), 0o600)); err != nil {
		return nil, err
	}
	p, err := g.Start(program, nil, "serve", config)
	if err != nil {
		return nil, err
	}
	url := "http://127.0.0.1:" + port
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := scenarios[0].open(ctx, url)
		if err == nil {
			_, err = c.call()
			c.close()
		}
		if err == nil {
			break
		}
		if p.Ended() || time.Now().After(deadline) {
			return nil, p.Failure(err)
		}
	}
	near, proxy, err := g.Serve(proxyRole, url)
	if err != nil {
		return nil, err
	}
	return &subject{name: "workerd", url: near, processes: []*process.Process{proxy, p}, plain: true}, nil
}

func isScript(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 2)
	n, _ := f.Read(head)
	return bytes.Equal(head[:n], []byte("#!"))
}
