package auth_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/ruedo-dev/ruedo/core/mirror"
	_ "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1" // whose procedures have rules, too
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// procedures calls f for each of our procedures.
func procedures(f func(spec connect.Spec, m protoreflect.MethodDescriptor)) {
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			if !strings.HasPrefix(string(service.FullName()), "ruedo.") {
				continue
			}
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				f(connect.Spec{Procedure: "/" + string(service.FullName()) + "/" + string(m.Name()), Schema: m, StreamType: streamOf(m)}, m)
			}
		}
		return true
	})
}

func streamOf(m protoreflect.MethodDescriptor) (t connect.StreamType) {
	if m.IsStreamingClient() {
		t |= connect.StreamTypeClient
	}
	if m.IsStreamingServer() {
		t |= connect.StreamTypeServer
	}
	return t
}

// Beside each procedure stands who may call it, and it makes sense.
func TestEachProcedureHasARule(t *testing.T) {
	w, n := newWorld(t), 0
	procedures(func(spec connect.Spec, _ protoreflect.MethodDescriptor) {
		n++
		if rule, opt := w.Rule(spec); rule == nil || opt == nil {
			t.Errorf("%s has none", spec.Procedure)
		}
	})
	if n < 70 {
		t.Errorf("only %d procedures were looked at", n)
	}
	for _, foreign := range []string{
		"/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
	} {
		if rule, _ := w.Rule(connect.Spec{Procedure: foreign}); rule.GetOpen() != strings.Contains(foreign, "health") {
			t.Errorf("%s: %v", foreign, rule)
		}
	}
}

// A core does not start with a procedure whose rule is missing, or cannot be what
// somebody meant.
func TestRulesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	get := ruedov1.File_ruedo_v1_service_proto.Services().ByName("ServiceService").Methods().ByName("GetService")
	for what, rule := range map[string]*access.Rule{
		"none":                    nil,
		"nothing":                 {},
		"two":                     {Open: true, Own: true},
		"open, with a grant":      {Open: true, Verb: access.Read, Noun: access.Service},
		"a verb alone":            {Verb: access.Read},
		"a name alone":            {Open: true, Name: "name"},
		"a field that is not":     {Verb: access.Read, Noun: access.Service, Name: "nam"},
		"a field of a field":      {Verb: access.Read, Noun: access.Service, Name: "name.name"},
		"a field that is no text": {Verb: access.Read, Noun: access.Service, Name: ""},
	} {
		options := &descriptorpb.MethodOptions{}
		if rule != nil {
			proto.SetExtension(options, ruedov1.E_Access, rule)
		}
		stream := connect.StreamTypeUnary
		if what == "a field that is no text" { // a stream has no request yet
			rule.Name, stream = "name", connect.StreamTypeServer
		}
		func() {
			defer func() {
				if why, _ := recover().(string); !strings.Contains(why, "/x.Y/Z") {
					t.Errorf("%s: %q", what, why)
				}
			}()
			w.Rule(connect.Spec{Procedure: "/x.Y/Z", Schema: method{get, options}, StreamType: stream})
		}()
	}
}

// method is a procedure with other options.
type method struct {
	protoreflect.MethodDescriptor
	options *descriptorpb.MethodOptions
}

func (m method) Options() protoreflect.ProtoMessage { return m.options }

// decorators is a service whose handlers find everything.
type decorators struct {
	ruedov1connect.UnimplementedDecoratorServiceHandler
	err error
}

func (d decorators) GetDecorator(context.Context, *ruedov1.GetDecoratorRequest) (*ruedov1.GetDecoratorResponse, error) {
	return &ruedov1.GetDecoratorResponse{}, d.err
}

func (d decorators) CreateDecorator(context.Context, *ruedov1.CreateDecoratorRequest) (*ruedov1.CreateDecoratorResponse, error) {
	return &ruedov1.CreateDecoratorResponse{}, d.err
}

func (d decorators) ListDecorators(context.Context, *ruedov1.ListDecoratorsRequest) (*ruedov1.ListDecoratorsResponse, error) {
	return &ruedov1.ListDecoratorsResponse{}, d.err
}

// serve serves a port with the rules of a cluster.
func (w *world) serve(mount func(*port.Server)) string {
	p := port.New(port.Config{Identify: func(r *http.Request, _, from string) (*access.Principal, *fault.Error) {
		return w.Identify(r, access.ViaTCP, "10.0.0.1")
	}, Rule: w.Rule, Allow: w.Allow})
	mount(p)
	front := httptest.NewUnstartedServer(p.Handler())
	front.Config.Protocols = new(http.Protocols)
	front.Config.Protocols.SetHTTP1(true)
	front.Config.Protocols.SetUnencryptedHTTP2(true)
	front.Start()
	w.t.Cleanup(front.Close)
	return front.URL
}

// showingIn returns a context whose requests show a token.
func showingIn(ctx context.Context, text string) context.Context {
	ctx, info := connect.NewClientContext(ctx)
	if text != "" {
		info.RequestHeader().Set("Authorization", "Bearer "+text)
	}
	return ctx
}

func TestRulesAreEnforced(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "read decorator team-a-*", "use decorator shared")
	ada := showingIn(t.Context(), w.token("ada"))
	nobody := t.Context()
	handlers := &decorators{}
	url := w.serve(func(p *port.Server) {
		p.Connect(port.Bounds{Message: 1 << 10}, func(opts ...connect.HandlerOption) (string, http.Handler) {
			return ruedov1connect.NewDecoratorServiceHandler(handlers, opts...)
		}, nil)
	})
	for _, protocol := range [][]connect.ClientOption{nil, {connect.WithGRPC()}, {connect.WithGRPCWeb()}, {connect.WithProtoJSON()}} {
		hc := &http.Client{Transport: &http.Transport{Protocols: new(http.Protocols)}}
		hc.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(true)
		api := ruedov1connect.NewDecoratorServiceClient(hc, url, protocol...)
		get := func(ctx context.Context, name string) error {
			_, err := api.GetDecorator(ctx, &ruedov1.GetDecoratorRequest{Name: name})
			return err
		}
		if err := get(ada, "team-a-x"); err != nil {
			t.Error(err)
		}
		wants := func(err error, reason fault.Reason, says string) {
			t.Helper()
			testkit.WantReason(t, asFault(err), reason, says)
		}
		wants(get(ada, "shared"), fault.PermissionDenied, `it needs the grant "read decorator shared"`)
		wants(get(ada, "team-b-x"), fault.NotFound, `there is no decorator "team-b-x"`)
		wants(get(nobody, "team-a-x"), fault.Unauthenticated, "")
		wants(get(showingIn(t.Context(), "garbage"), "team-a-x"), fault.Unauthenticated, "")
		// Whoever makes what they cannot see is denied, whether it exists or not.
		_, err := api.CreateDecorator(ada, &ruedov1.CreateDecoratorRequest{Decorator: &ruedov1.Decorator{Name: "team-b-x"}})
		wants(err, fault.PermissionDenied, "write decorator team-b-x")
		_, err = api.CreateDecorator(ada, &ruedov1.CreateDecoratorRequest{})
		wants(err, fault.PermissionDenied, "write decorator")
		if _, err = api.ListDecorators(ada, &ruedov1.ListDecoratorsRequest{}); err != nil {
			t.Error(err)
		}
		_, err = api.ListDecorators(nobody, &ruedov1.ListDecoratorsRequest{})
		wants(err, fault.Unauthenticated, "")
		// What a handler finds to be invisible does not exist either.
		handlers.err = access.ErrHidden
		wants(get(ada, "team-a-x"), fault.NotFound, `there is no decorator "team-a-x"`)
		handlers.err = nil
		hc.CloseIdleConnections()
	}
	seen := map[string]bool{}
	for _, d := range w.denied {
		seen[d] = true
	}
	for _, want := range []string{
		"user/ada read decorator team-b-x PERMISSION_DENIED", "user/ada read decorator shared PERMISSION_DENIED", "user/ada write decorator team-b-x PERMISSION_DENIED",
		"anonymous read decorator  UNAUTHENTICATED", "anonymous authenticate   UNAUTHENTICATED",
	} {
		if !seen[want] {
			t.Errorf("nobody was told of %q, but of %q", want, w.denied)
		}
	}
}

func asFault(err error) error {
	if err == nil {
		return errors.New("it was allowed")
	}
	return faultrpc.FromError(err)
}

// A context that does not say who a request is of allows nothing but what is open.
func TestAContextWithoutAPrincipalIsDenied(t *testing.T) {
	w := newWorld(t)
	procedures(func(spec connect.Spec, _ protoreflect.MethodDescriptor) {
		rule, _ := w.Rule(spec)
		if rule.GetOpen() {
			return
		}
		testkit.WantReason(t, w.Allow(context.Background(), rule), fault.PermissionDenied)
		if rule.GetVerb() != access.AnyVerb {
			testkit.WantReason(t, w.Check(context.Background(), rule.GetVerb(), rule.GetNoun(), "x"), fault.PermissionDenied)
		}
	})
}

// watch is a service whose handler streams until its context ends.
type watch struct {
	ruedov1connect.UnimplementedServiceServiceHandler
}

func (s watch) WatchServices(ctx context.Context, _ *ruedov1.WatchServicesRequest, stream *connect.ServerStream[ruedov1.WatchServicesResponse]) error {
	if err := stream.Send(&ruedov1.WatchServicesResponse{Synced: true}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// A stream ends when its token does, and when what its caller may do is something
// else. What changes for others does not end it.
func TestStreamsEndWithWhatTheirCallersMayDo(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "read service *")
	w.user("bob", "read service *")
	url := w.serve(func(p *port.Server) {
		p.Connect(port.Bounds{Message: 1 << 10}, func(opts ...connect.HandlerOption) (string, http.Handler) {
			return ruedov1connect.NewServiceServiceHandler(watch{}, opts...)
		}, nil)
	})
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	api := ruedov1connect.NewServiceServiceClient(client, url)
	begin := func(text string) *connect.ServerStreamForClient[ruedov1.WatchServicesResponse] {
		stream, err := api.WatchServices(showingIn(t.Context(), text), &ruedov1.WatchServicesRequest{})
		if err != nil || !stream.Receive() {
			t.Fatal(err, stream.Err())
		}
		return stream
	}
	ended := func(stream *connect.ServerStreamForClient[ruedov1.WatchServicesResponse], want fault.Reason) {
		t.Helper()
		for stream.Receive() {
		}
		testkit.WantReason(t, asFault(stream.Err()), want)
	}
	revoked, changed, stays := w.token("ada"), w.token("ada"), w.token("bob")
	first, second, third := begin(revoked), begin(changed), begin(stays)
	w.Change(func(s *mirror.Snapshot) {
		s.Tokens = with(s.Tokens, "", nil)
		delete(s.Tokens, "")
		delete(s.Tokens, idOf(revoked))
	})
	ended(first, fault.Unauthenticated)
	w.user("ada", "read service team-a-*")
	ended(second, fault.CoreUnreachable)
	w.user("zoe")
	more := begin(stays) // the change has been judged
	w.Change(func(s *mirror.Snapshot) { s.Users = nil })
	ended(third, fault.Unauthenticated)
	ended(more, fault.Unauthenticated)
}
