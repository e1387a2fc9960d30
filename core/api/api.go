// Package api holds the Connect handlers, one file per service of
// proto/ruedo/v1, each thin: it translates a request, asks the room that knows,
// and gives back the answer. Rules live elsewhere; errors become codes in
// package fault's table by way of wire's interceptor.
//
// [New] makes one http.Handler of them all, with reflection and health beside
// them. gRPC, gRPC-Web and Connect speak to the same handlers.
package api

import (
	"log/slog"
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"github.com/ruedo-dev/ruedo/core/dispatch"
	"github.com/ruedo-dev/ruedo/core/invoke"
	"github.com/ruedo-dev/ruedo/core/publish"
	"github.com/ruedo-dev/ruedo/core/store"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/wire"
)

// maxMessage bounds one message of a request. Larger inputs go to
// POST /call/{service}, which is bounded by the service's own limit.
const maxMessage = 8 << 20

// Config says what the handlers work with. Every field is needed.
type Config struct {
	Store      *store.Store
	Mirror     *store.Mirror
	Hall       *invoke.Hall
	Publisher  *publish.Publisher
	Dispatcher *dispatch.Dispatcher
	// Core is what this core says of itself.
	Core *ruedov1.Core
	// Cluster is the cluster's id.
	Cluster string
	// Distributed tells whether calls always go to a runner.
	Distributed bool
	// MaxModule bounds a module, in bytes.
	MaxModule int64
	// Requests gives what counts the requests of a procedure, see wire.NewRequests.
	Requests func(procedure string) func(outcome fault.Reason)
	Logger   *slog.Logger
	// Done ends the streams that would go on for ever.
	Done <-chan struct{}
}

// New makes the handler of all services.
func New(cfg Config) http.Handler {
	requests := wire.NewRequests(cfg.Requests)
	opts := wire.HandlerOptions(cfg.Logger, maxMessage, requests)
	mux := http.NewServeMux()
	handle := func(path string, h http.Handler) { mux.Handle(path, requests.Handler(h)) }
	handle(ruedov1connect.NewInvokeServiceHandler(&invokeService{cfg.Hall}, opts...))
	handle(ruedov1connect.NewServiceServiceHandler(&serviceService{cfg}, opts...))
	handle(ruedov1connect.NewDecoratorServiceHandler(&decoratorService{cfg}, opts...))
	handle(ruedov1connect.NewClusterServiceHandler(&clusterService{cfg}, opts...))
	modules := newModuleService(cfg)
	path, handler := ruedov1connect.NewModuleServiceHandler(modules, append(wire.HandlerOptions(cfg.Logger, maxPart, requests), connect.WithCodec(&modules.parts))...)
	handle(path, wire.PatientBody(handler))
	handle("/", http.NotFoundHandler())

	names := []string{
		ruedov1connect.InvokeServiceName, ruedov1connect.ServiceServiceName, ruedov1connect.DecoratorServiceName,
		ruedov1connect.ModuleServiceName, ruedov1connect.ClusterServiceName,
	}
	reflector := grpcreflect.NewStaticReflector(names...)
	mux.Handle(grpcreflect.NewHandlerV1(reflector))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector))
	mux.Handle(grpchealth.NewHandler(grpchealth.NewStaticChecker(names...)))
	return mux
}
