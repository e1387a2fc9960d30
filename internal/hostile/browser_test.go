//go:build hostile

package hostile

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
)

// Names that the browser resolves to this machine.
const (
	evilName    = "evil.example"
	reboundName = "rebound.example"
	// reboundAddress is where the latter points before it points to the core.
	reboundAddress = "127.0.0.2"
)

const (
	// browsed bounds the time of one page.
	browsed = 30 * time.Second
	// lingering is how much longer it stays open: what it would do, it does soon.
	lingering = 3 * time.Second
)

// chromium returns the path of a browser, or why there is none.
func chromium() (path, why string) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, ""
		}
	}
	return "", "there is no chromium on this machine (Debian: apt-get install chromium)"
}

// browse opens a page in a browser until it is enough.
func (b *bout) browse(page string, enough func() bool) {
	path, why := chromium()
	if why != "" {
		b.Errorf("%s", why)
		return
	}
	home, err := os.MkdirTemp(b.home, "browser")
	b.must(home, err)
	ctx, cancel := context.WithTimeout(b.ctx, 2*browsed)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-breakpad", "--disable-dev-shm-usage", "--no-proxy-server", "--disable-popup-blocking",
		// A core does not count on what newer browsers do against pages that reach for
		// the machine that they are on.
		"--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,PrivateNetworkAccessSendPreflights,HttpsUpgrades,Translate",
		"--host-resolver-rules=MAP "+evilName+" 127.0.0.1, MAP "+reboundName+" "+reboundAddress+", MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
		"--user-data-dir="+home, page)
	var out testkit.Log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home}
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		b.Errorf("%s: %v", path, err)
		return
	}
	if !testkit.Poll(browsed, enough) {
		b.Errorf("the browser has not done all that it was to do: %s", tail(out.String(), 2000))
	}
	time.Sleep(lingering)
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it is not asked
	_ = cmd.Wait()
}

// htmlPage is a guest of kind http that answers with a page.
func htmlPage(text []byte) []byte {
	const at = 4096
	head := abi.AppendField(abi.AppendField(nil, abi.HeadStatus, "200"), "content-type", "text/html")
	return asHTTP(func(m *w.Module) {
		headWrite, write := m.Import(abi.HostModule, abi.ImportHeadWrite, "ii>i"), m.Import(abi.HostModule, abi.ImportOutputWrite, "ii>i")
		m.Memory(1, -1)
		m.Data(0, head)
		m.Data(at, text)
		m.AsFunction(m.Func(">i", w.CallWith(headWrite, 0, int32(len(head))), w.Drop(), w.CallWith(write, at, int32(len(text))), w.Drop(), w.I32(0)))
	})
}

// calls returns how often a service was called.
func (b *bout) calls(service string) (n float64) {
	all, err := b.counted(b.ctx)
	b.must(all, err)
	for name, value := range all {
		if strings.HasPrefix(name, "ruedo_calls_total{") && strings.Contains(name, fmt.Sprintf("service=%q", service)) {
			n += value
		}
	}
	return n
}

// catalog returns the services and their revisions.
func (b *bout) catalog() (text string) {
	for s, err := range b.client.ListServices(b.ctx, &ruedov1.ListServicesRequest{}) {
		b.must(s, err)
		text += fmt.Sprintf("%s@%d ", s.GetName(), s.GetRevision().GetNumber())
	}
	return text
}

// browserRow is row 39 as far as it takes a browser: pages of an evil site, which
// anonymous callers' services and a cluster without logins are open to but for where a
// request comes from.
func browserRow() *row {
	_, why := chromium()
	// executing are the attacks by which a careless core executes something.
	executing := []string{
		"fetch json", "fetch json with credentials", "fetch text", "fetch text no-cors", "fetch urlencoded no-cors", "fetch multipart no-cors", "fetch without a type no-cors",
		"fetch keepalive", "beacon", "request", "form text", "form urlencoded", "form multipart", "delete", "delete no-cors", "delete form", "delete by grpc-web", "publish", "list",
		"socket", "rebound", "framed",
	}
	var site *evilSite
	var prey *careless
	var toCore, toPrey *rebinding
	end := func() {
		if site == nil {
			return
		}
		toCore.close()
		toPrey.close()
		prey.Close()
		site.Close()
		site = nil
	}
	core, trusting := target{Name: "core"}, target{Name: "careless"}
	r := &row{
		number: 39, name: "pages of an evil site, in a browser", once: true, skip: why,
		setup: func(b *bout) {
			end() // of an earlier try
			if b.caller != "" {
				user := &ruedov1.User{Name: access.Anonymous, Machine: true, Grants: []string{"call service " + b.service() + "-*"}}
				if _, err := b.client.Users.CreateUser(b.ctx, &ruedov1.CreateUserRequest{User: user}); err != nil && !reasonIs(err, fault.AlreadyExists) {
					b.Errorf("%v", err)
				}
			}
			site, prey = newEvilSite(), newCareless()
			var err error
			prey.page, err = site.framed("careless", "counted")
			b.must(prey.page, err)
			html, err := site.framed("core", b.service("counted"))
			b.must(html, err)
			for _, name := range []string{"counted", "doomed"} {
				b.mustPublish(b.service(name), w.Function(w.I32(0)).Bytes(), time.Second)
			}
			for _, name := range []string{"page", "socket"} {
				b.mustPublish(b.service(name), htmlPage(html), time.Second)
			}
			toCore, err = newRebinding(b.url, site.Config.Handler)
			b.must(toCore, err)
			toPrey, err = newRebinding(prey.URL, site.Config.Handler)
			b.must(toPrey, err)
			at := func(kind, name string) string { return b.url + kind + b.service(name) }
			core.URL, core.Call, core.Doomed = b.url, at("/call/", "counted"), b.service("doomed")
			core.Page, core.Socket, core.Rebound = at("/svc/", "page")+"/", at("/svc/", "socket")+"/", toCore.url("/call/"+b.service("counted"))
			trusting.URL, trusting.Call, trusting.Page, trusting.Socket = prey.URL, prey.URL+"/call/counted", prey.URL+"/page", prey.URL+"/socket"
			trusting.Rebound = toPrey.url("/call/counted")
		},
		// A browser takes its time from the victim, whatever it looks at.
		control: func(b *bout) {
			b.browse(site.page(trusting), func() bool { _, shown := site.did("careless"); return site.reported() != nil && shown >= 3 })
		},
		moves: []move{
			{"at a core that trusts them", func(b *bout) {
				for _, name := range executing {
					if !prey.did(name) {
						b.Errorf("%s is no attack: it does nothing to a core without any defence; %s", name, site.reported()["careless: "+name])
					}
				}
				if done, shown := site.did("careless"); shown < 3 || len(done) < 8 {
					b.Errorf("the page of a guest does no more than %q, shown %d times", done, shown)
				}
			}},
			{"at the core", func(b *bout) {
				before, called, served := b.catalog(), b.calls(b.service("counted")), b.calls(b.service("page"))
				b.browse(site.page(core), func() bool {
					_, shown := site.did("core")
					_, reported := site.reported()["core: frame"]
					return reported && shown >= 3
				})
				outcomes := site.reported()
				made := 0
				for name, outcome := range outcomes {
					name, ours := strings.CutPrefix(name, "core: ")
					if !ours {
						continue
					}
					made++
					switch {
					case name == "rebound":
						if strings.Count(outcome, "read 403") != 3 || strings.Count(outcome, string(fault.HostNotAllowed)) != 3 {
							b.Errorf("%s: %s", name, outcome)
						}
					case strings.HasPrefix(outcome, "read"), outcome == "open", outcome == "silence", outcome == "loaded" && strings.HasSuffix(name, "script"):
						b.Errorf("%s: %s", name, outcome)
					}
				}
				if made < 28 {
					b.Errorf("only %d attacks were made: %v", made, outcomes)
				}
				if done, shown := site.did("core"); len(done) > 0 || shown < 3 {
					b.Errorf("the page of a guest was shown %d times, and did %q", shown, done)
				}
				if now := b.catalog(); now != before {
					b.Errorf("the catalog was %s, and is %s", before, now)
				}
				if now := b.calls(b.service("counted")); now != called {
					b.Errorf("a service was called %g times", now-called)
				}
				if now := b.calls(b.service("socket")); now != 0 {
					b.Errorf("a service was asked for a WebSocket %g times", now)
				}
				if now := b.calls(b.service("page")); now < served+3 {
					b.Errorf("the page was served %g times", now-served)
				}
				b.refusal(fault.OriginNotAllowed)
				b.refusal(fault.HostNotAllowed)
				b.note("%d attacks", made)
			}},
			{"and without a browser", func(b *bout) {
				// What they were after can be had.
				called := b.calls(b.service("counted"))
				a, err := b.answer(http.MethodPost, "/call/"+b.service("counted"), http.Header{"Content-Type": {"text/plain"}}, bytes.NewReader([]byte("{}")))
				if err != nil || a.status != http.StatusOK || b.calls(b.service("counted")) != called+1 {
					b.Errorf("%v, %v", a, err)
				}
				end()
			}},
		},
		peakCore: 96 << 20,
	}
	return r
}
