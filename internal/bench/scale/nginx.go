package scale

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/bench/load"
	"github.com/ruedo-dev/ruedo/internal/bench/process"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// nginxConfig is a proxy that keeps its connections, in one process.
const nginxConfig = `daemon off;
worker_processes 1;
master_process off;
pid %[1]s/nginx.pid;
error_log stderr;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	upstream echo { server %[3]s; keepalive 64; }
	server {
		listen 127.0.0.1:%[2]s;
		keepalive_requests 100000000;
		location / {
			proxy_pass http://echo;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
		}
	}
}
`

// nginx measures nginx as a proxy before a server that answers with the input. It
// measures nothing if nginx is not installed.
func (b *bench) nginx() ([]table.Row, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		fmt.Println("nginx: skipped, it is not installed")
		return nil, nil
	}
	url, _, err := b.group.Serve("http-echo", "")
	if err != nil {
		return nil, err
	}
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(b.dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, b.dir, port, strings.TrimPrefix(url, "http://")), 0o600); err != nil {
		return nil, err
	}
	p, err := b.group.Start(program, nil, "-p", b.dir, "-c", config)
	if err != nil {
		return nil, err
	}
	t := &load.Target{
		Name: "nginx", URL: "http://127.0.0.1:" + port, Requests: [][]byte{load.Post("/call/echo", input)}, Want: input,
		Processes: []*process.Process{p},
	}
	if err := b.until("nginx answers", func() (bool, error) {
		if p.Ended() {
			return false, p.Failure(fmt.Errorf("it has ended"))
		}
		err := load.Each(b.ctx, t, 1)
		return err == nil, err
	}); err != nil {
		return nil, p.Failure(err)
	}
	c := newCurve("nginx", "server", []int{1})
	for range b.o.Rounds {
		if err := b.measure(c, 1, t); err != nil {
			return nil, err
		}
	}
	m, err := p.Memory()
	if err != nil {
		return nil, err
	}
	c.add(1, resident, float64(m.Resident)/mb)
	c.add(1, private, float64(m.Private)/mb)
	return c.finish()
}
