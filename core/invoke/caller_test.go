package invoke_test

import (
	"context"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/core/coretest"
	"github.com/ruedo-dev/ruedo/core/invoke"
	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// A service of any kind sees who calls it.
func TestAServiceSeesItsCaller(t *testing.T) {
	seen := ""
	inv := kinds(func(_ context.Context, req *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		seen = req.GetCaller()
		return &runnerv1.ExecuteResponse{}, nil
	}, nil)
	call := func(ctx context.Context, service string) error {
		c, err := inv.Begin(coretest.Context(t), service)
		if err != nil {
			t.Fatal(err)
		}
		if service == "http" {
			_, err = c.Exchange(ctx, invoke.Request{Exchange: &executor.Exchange{}})
		} else {
			_, err = c.Do(ctx, invoke.Input{})
		}
		return err
	}
	as := func(p access.Principal) context.Context {
		return access.With(t.Context(), &access.Request{Principal: &p})
	}
	for _, service := range []string{"function", "command", "http"} {
		for want, ctx := range map[string]context.Context{
			"user/ada":           as(access.Principal{Name: "user/ada"}),
			"anonymous":          as(access.Principal{Name: access.Anonymous}),
			"local/Jos%C3%A9%0A": as(access.Principal{Name: "local/José\n"}),
		} {
			if err := call(ctx, service); err != nil || seen != want {
				t.Errorf("%s is called by %q, %v; want %q", service, seen, err, want)
			}
		}
		for _, ctx := range []context.Context{t.Context(), as(access.Principal{Name: "local/ada", Assumed: true})} {
			if err := call(ctx, service); err != nil || seen != "" {
				t.Errorf("%s is called by %q, and nobody was asked: %v", service, seen, err)
			}
		}
		seen = ""
		err := call(as(access.Principal{Name: "okta/" + strings.Repeat("a", 252)}), service)
		testkit.WantReason(t, err, fault.RequestInvalid, "has 257 bytes")
		if e := fault.FromError(err); !e.NotStarted || seen != "" {
			t.Errorf("%s was executed for half a name: %q", service, seen)
		}
	}
}

// A token is no content type, and services do not see it.
func TestAContentTypeWithAToken(t *testing.T) {
	inv := kinds(func(context.Context, *runnerv1.ExecuteRequest) (*runnerv1.ExecuteResponse, error) {
		t.Error("the service was executed")
		return &runnerv1.ExecuteResponse{}, nil
	}, nil)
	call, err := inv.Begin(coretest.Context(t), "function")
	if err != nil {
		t.Fatal(err)
	}
	_, err = call.Do(t.Context(), invoke.Input{ContentType: "text/plain; key=ruedo_t_7kq2m3x4tb_abc"})
	if e := fault.FromError(err); e.Reason != fault.RequestInvalid || !e.NotStarted || strings.Contains(e.Message, "7kq2m3x4tb") {
		t.Errorf("%v", err)
	}
}
