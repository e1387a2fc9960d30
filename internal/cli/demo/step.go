package demo

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/headers"
)

func (d *Demo) print(format string, args ...any) { fmt.Fprintf(d.Out, format+"\n", args...) }

func (d *Demo) title(text string) { d.print("── %s\n", text) }

// expect prints whether a step did what it should.
func (d *Demo) expect(ok bool, format string, args ...any) {
	d.done++
	text := fmt.Sprintf(format, args...)
	if ok {
		d.print("✓ %s\n", text)
		return
	}
	d.failed = append(d.failed, text)
	d.print("✗ NOT: %s\n", text)
}

type ran struct {
	code           int
	stdout, stderr string
}

// ruedo runs this program once more, as a user would.
func (d *Demo) ruedo(args ...string) ran {
	d.print("$ ruedo %s", quoteAll(args))
	return d.run(args, nil)
}

// ruedoTo is ruedo with its stdout in a file.
func (d *Demo) ruedoTo(file string, args ...string) ran {
	d.print("$ ruedo %s > %s", quoteAll(args), file)
	f, err := os.Create(file)
	if err != nil {
		return ran{code: -1, stderr: err.Error()}
	}
	defer f.Close()
	return d.run(args, f)
}

func (d *Demo) run(args []string, to io.Writer) ran {
	ctx, cancel := context.WithTimeout(d.ctx, 5*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, d.Program, args...)
	cmd.Env = append(d.Env[:len(d.Env):len(d.Env)], "RUEDO_CLIENT_HOST="+d.URL, "RUEDO_APPLICATION_MODE=client")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if to != nil {
		cmd.Stdout = to
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return ran{code: -1, stderr: err.Error()}
	}
	r := ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	d.show(r.stderr)
	d.show(r.stdout)
	return r
}

// show prints the output of a step; of a long one, both ends.
func (d *Demo) show(text string) {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return
	}
	const maxLines, head, tail = 40, 4, 2
	if lines := strings.Split(text, "\n"); len(lines) > maxLines {
		cut := fmt.Sprintf("... (%d lines)", len(lines)-head-tail)
		text = strings.Join(append(append(lines[:head:head], cut), lines[len(lines)-tail:]...), "\n")
	}
	d.print("%s", output.SafeLines(text))
}

type answer struct {
	status       int
	body, runner string
}

// curl posts a body and prints the same as a curl command.
func (d *Demo) curl(path, contentType, body string) answer {
	header := ""
	if contentType != "" {
		header = " -H 'Content-Type: " + contentType + "'"
	} else {
		contentType = "application/x-www-form-urlencoded" // what curl -d says
	}
	d.print("$ curl -si%s -d %s %s", header, output.Quote(body), d.URL+path)
	return d.send(http.MethodPost, path, contentType, body)
}

// get gets a path and prints the same as a curl command.
func (d *Demo) get(path string) answer {
	d.print("$ curl -si %s", output.Quote(d.URL+path))
	return d.send(http.MethodGet, path, "", "")
}

func (d *Demo) send(method, path, contentType, body string) answer {
	req, err := http.NewRequestWithContext(d.ctx, method, d.URL+path, strings.NewReader(body))
	if err != nil {
		return answer{body: err.Error()}
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := d.http.Do(req)
	if err != nil {
		d.show(err.Error())
		return answer{body: err.Error()}
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		d.show(err.Error())
	}
	a := answer{res.StatusCode, string(data), res.Header.Get(headers.Runner)}
	d.print("%s %s", res.Proto, res.Status)
	if a.runner != "" {
		d.print("%s: %s", headers.Runner, a.runner)
	}
	d.show(a.body)
	return a
}

// stream gets a path and prints the lines of the answer as they arrive, and the same
// as a curl command. took is the time from the first line to the last.
func (d *Demo) stream(path string) (lines []string, took time.Duration) {
	d.print("$ curl -sN %s", output.Quote(d.URL+path))
	req, err := http.NewRequestWithContext(d.ctx, http.MethodGet, d.URL+path, nil)
	if err != nil {
		return nil, 0
	}
	res, err := d.http.Do(req)
	if err != nil {
		d.show(err.Error())
		return nil, 0
	}
	defer res.Body.Close()
	var first time.Time
	scanner := bufio.NewScanner(io.LimitReader(res.Body, 1<<20))
	for scanner.Scan() {
		if len(lines) == 0 {
			first = time.Now()
		}
		lines = append(lines, scanner.Text())
		took = time.Since(first)
		d.print("%s", output.SafeLines(scanner.Text()))
	}
	if err := scanner.Err(); err != nil {
		d.show(err.Error())
	}
	return lines, took
}

// alternate reports whether two names take turns.
func alternate(names []string) bool {
	for i, n := range names {
		if n == "" || i > 0 && n == names[i-1] || i > 1 && n != names[i-2] {
			return false
		}
	}
	return len(names) > 1
}

func between(text, before, after string) string {
	_, rest, ok := strings.Cut(strings.ReplaceAll(text, `": "`, `":"`), before)
	if !ok {
		return ""
	}
	found, _, _ := strings.Cut(rest, after)
	return found
}

// quoteAll writes arguments as they would be typed.
func quoteAll(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = output.Quote(a)
	}
	return strings.Join(quoted, " ")
}
