package runner_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
	"github.com/ruedo-dev/ruedo/runner"
)

// A core that does not let a runner in is asked seldom, and the log says so once for
// each reason, with what to do.
func TestARunnerThatIsNotLetInSaysSoOnce(t *testing.T) {
	var asked atomic.Int32
	p := port.New(port.Config{Identify: func(*http.Request, string, string) (*access.Principal, *fault.Error) {
		asked.Add(1)
		return nil, access.Unauthenticated()
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- p.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = p.Close(ctx)
		<-served
	})
	var log testkit.Log
	secret := token.New(token.Bearer)
	shown := func(context.Context) (string, error) { return secret.Reveal(), nil }
	r := newRunner(t, runner.Config{
		Cores:  []string{"http://" + l.Addr().String(), "http://192.0.2.1:7833"},
		Access: func(string) runner.Access { return runner.Access{Token: shown} },
		Logger: slog.New(slog.NewJSONHandler(&log, nil)),
	})
	stop := serve(t, r)
	refusals := func() []map[string]any { return records(&log, "cannot attach to core, retrying") }
	testkit.Eventually(t, "both cores are given up for now", func() bool { return len(refusals()) == 2 })
	for _, refusal := range refusals() {
		want := map[string]string{
			"UNAUTHENTICATED":   "give the runner a token of a user with the role runner (client.token_file), or start it as the core's user on the core's machine",
			"PLAINTEXT_REFUSED": "use the https URL of the core (runner.cores)",
		}[refusal["reason"].(string)]
		if want == "" || refusal["fix"] != want {
			t.Errorf("%v", refusal)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the core was asked %d times", n)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if len(refusals()) != 2 {
		t.Errorf("said more than once: %v", refusals())
	}
}
