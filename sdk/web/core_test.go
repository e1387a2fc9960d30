//go:build unix

package web_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/same"
)

// ownHost routes the host of the requests of package same to the service.
type ownHost struct{}

func (h ownHost) Lookup(host, _, _ string) (string, bool) { return "talk", h.HasHost(host) }
func (ownHost) HasHost(host string) bool                  { return host == "some.host:99" }

var forwarded = regexp.MustCompile(`(?m)^X-Forwarded-.*\n`)

// TestThroughTheCore compares what callers and handlers see through the front of a
// core with what they see of net/http's own server.
func TestThroughTheCore(t *testing.T) {
	seen := &gateway{t: t}
	logged := func(next executor.Executor) executor.Executor {
		return executor.Func(func(ctx context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
			req.Logs = true
			res, err := next.Execute(ctx, req)
			info := res.GetInfo()
			if err != nil {
				info, _ = fault.Detail[*ruedov1.CallInfo](err)
			}
			seen.mu.Lock()
			defer seen.mu.Unlock()
			seen.logs = info.GetLogs()
			return res, err
		})
	}
	probe, err := built()
	if err != nil {
		t.Fatal(err)
	}
	run, err := ruedotest.FrontRunner(t.Context(), probe.cache, probe.compiler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := run.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	front := ruedotest.Front(t, probe.wasm, ruedotest.FrontOptions{Routes: ownHost{}, Wrap: logged, Runner: run})
	for i, c := range same.Cases() {
		for _, h2 := range []bool{false, true} {
			if c.H1 && h2 {
				continue
			}
			t.Run(fmt.Sprintf("%s, HTTP/%d", c.Name, map[bool]int{false: 1, true: 2}[h2]), func(t *testing.T) {
				want, err := c.Native(h2)
				if err != nil {
					t.Fatal(err)
				}
				asked := c
				asked.Request = func(r *http.Request) {
					if c.Request != nil {
						c.Request(r)
					}
					r.Header.Set("X-Case", strconv.Itoa(i))
				}
				got, err := same.Ask(asked, front.Handler(), h2)
				if err != nil {
					t.Fatal(err)
				}
				for _, note := range seen.notes(t) {
					got.Notes = append(got.Notes, forwarded.ReplaceAllString(note, ""))
				}
				for name := range got.Header {
					if strings.HasPrefix(name, "Ruedo-") {
						got.Header.Del(name)
					}
				}
				for _, d := range c.Differences(got, want) {
					t.Errorf("%s\n%s", d, seen.logs)
				}
			})
		}
	}
}
