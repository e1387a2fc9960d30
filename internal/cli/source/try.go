package source

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/project"
	"github.com/ruedo-dev/ruedo/internal/cli/reach"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/httphead"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
	"github.com/ruedo-dev/ruedo/runner/exchange"
	"github.com/ruedo-dev/ruedo/sandbox"
)

// Admit checks the structure of a module, as the core will.
func Admit(s *session.Session, wasm []byte) (*wasmbin.Info, error) {
	return wasmbin.Admit(wasm, s.Settings.Module.Limits())
}

// Trial is a module in the sandbox that runners have.
type Trial struct {
	Report *Report

	engine   *sandbox.Engine
	template *sandbox.Template
}

// Try loads the module as [Source.Load] does and returns what it found.
func (src *Source) Try(s *session.Session) (*Report, error) {
	ctx, cancel := context.WithTimeout(s.Ctx, 2*time.Minute)
	defer cancel()
	t, err := src.Load(ctx, s)
	if err != nil {
		return nil, err
	}
	defer t.Close(ctx)
	return t.Report, nil
}

// Load loads the module in the sandbox: compiles it, starts it and calls its
// example. A mistake that is found here costs no upload. Close the trial.
func (src *Source) Load(ctx context.Context, s *session.Session) (_ *Trial, err error) {
	// The cache is the runners' own: code compiled here is compiled for them.
	cache := s.CacheDir()
	if cache != "" {
		cache = filepath.Join(cache, "compiled")
	}
	t := &Trial{}
	t.engine, err = sandbox.New(ctx, sandbox.Config{
		CacheDir: cache, Modules: s.Settings.Module.Limits(), Compiler: s.Compiler, CompileTime: s.Settings.Runner.CompileTime,
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.DataDir, "the sandbox cannot be opened: %s", err).WithFix("choose another directory (runner.cache_dir)")
	}
	r := src.Request
	spec := sandbox.Spec{
		Wasm: src.Wasm, Limits: src.limits(), Env: r.GetEnv(), Args: r.GetArgs(), Example: r.GetExample(), Examples: examples(r),
		Isolation: sandbox.Isolation(project.IsolationName(r.GetIsolation())),
	}
	if t.template, err = t.engine.Load(ctx, spec); err != nil {
		t.Close(ctx)
		return nil, cannotStart(err)
	}
	t.Report = &Report{Report: t.template.Report(), Size: uint64(len(src.Wasm)), HasExample: len(r.GetExample())+len(r.GetHttpExamples()) > 0, Absent: src.Absent}
	if t.Report.Example != nil {
		s.Warnf("the service refuses its example: %s", output.Safe(t.Report.Example.Message))
	}
	if err := t.ask(ctx, s, r); err != nil {
		t.Close(ctx)
		return nil, err
	}
	if t.Report.Kind == sandbox.HTTP && !t.Report.HasExample {
		t.price(ctx, spec)
	}
	return t, nil
}

const (
	// priceCalls is how many calls a price is the median of.
	priceCalls = 5
	// maxPrice bounds how long finding it out can take.
	maxPrice = 5 * time.Second
)

// price measures what it costs that a service of kind http has no example. A service
// that fails without one, or takes long, has no price.
func (t *Trial) price(ctx context.Context, spec sandbox.Spec) {
	ctx, cancel := context.WithTimeout(ctx, maxPrice)
	defer cancel()
	spec.Examples = examples(&ruedov1.PublishServiceRequest{HttpExamples: []*ruedov1.HttpExample{{Path: "/"}}})
	warm, err := t.engine.Load(ctx, spec)
	if err != nil {
		return
	}
	defer func() { _ = warm.Close(context.WithoutCancel(ctx)) }()
	median := func(of *sandbox.Template) (time.Duration, error) {
		var took []time.Duration
		for range priceCalls {
			res, err := of.Call(ctx, sandbox.Request{ID: "check", Head: spec.Examples[0].Head})
			if err != nil {
				return 0, err
			}
			took = append(took, res.Duration)
		}
		slices.Sort(took)
		return took[priceCalls/2], nil
	}
	cold, err := median(t.template)
	if err != nil {
		return
	}
	if after, err := median(warm); err == nil {
		t.Report.Cold, t.Report.Warm = cold, after
	}
}

func examples(r *ruedov1.PublishServiceRequest) []sandbox.Example {
	return exchange.Examples(&runnerv1.Plan{HttpExamples: r.GetHttpExamples()})
}

// ask makes the requests of a service of kind http once more, each on its own, so
// that the author sees how it answers and what each costs.
func (t *Trial) ask(ctx context.Context, s *session.Session, r *ruedov1.PublishServiceRequest) error {
	for i, e := range examples(r) {
		res, err := t.template.Call(ctx, sandbox.Request{ID: "check", Head: e.Head, Input: e.Input})
		if err != nil {
			return err
		}
		head, err := httphead.ParseAnswer(res.Head)
		if err != nil {
			return err
		}
		answer := Answer{Request: reach.Text(r.GetHttpExamples()[i]), Status: head.Status, Duration: output.Duration(res.Duration)}
		if answer.Status >= 400 {
			s.Warnf("the service answers its example %s with status %d", output.Safe(answer.Request), answer.Status)
		}
		t.Report.Answers = append(t.Report.Answers, answer)
	}
	return nil
}

// cannotStart returns the error of a service that failed before its first call as
// PREPARE_FAILED: there was no call that could have returned an error. Other
// errors stay as they are.
func cannotStart(err error) error {
	e := *fault.FromError(err)
	switch e.Reason.ExitCode() {
	case fault.ExitGuestError, fault.ExitGuestTrap:
		e.Reason, e.Code = fault.PrepareFailed, 0
		return &e
	}
	return err
}

// Call calls the module once, with JSON or text.
func (t *Trial) Call(ctx context.Context, input []byte) ([]byte, error) {
	contentType := "text/plain; charset=utf-8"
	if json.Valid(input) {
		contentType = "application/json"
	}
	res, err := t.template.Call(ctx, sandbox.Request{ID: "check", Input: input, ContentType: contentType})
	return res.Output, err
}

// Close frees the sandbox, also after ctx has ended.
func (t *Trial) Close(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	if t.template != nil {
		_ = t.template.Close(ctx)
	}
	_ = t.engine.Close(ctx)
}
