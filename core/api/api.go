// Package api holds the Connect handlers, one file per service of
// proto/ruedo/v1; that of calls is package invocation. Each handler is thin: it
// translates a request, calls the package that does the work, and returns the
// answer. Rules live elsewhere. The interceptor of package middleware turns
// errors into codes with package fault's table.
//
// [Mount] mounts all of them on a port, each with its bounds, alongside
// reflection and health checks. gRPC, gRPC-Web and Connect use the same
// handlers.
package api

import (
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"github.com/ruedo-dev/ruedo/core/api/invocation"
	"github.com/ruedo-dev/ruedo/core/backup"
	"github.com/ruedo-dev/ruedo/core/catalog"
	"github.com/ruedo-dev/ruedo/core/cordon"
	"github.com/ruedo-dev/ruedo/core/dispatch"
	"github.com/ruedo-dev/ruedo/core/freshness"
	"github.com/ruedo-dev/ruedo/core/invoke"
	"github.com/ruedo-dev/ruedo/core/jobs"
	"github.com/ruedo-dev/ruedo/core/leader"
	"github.com/ruedo-dev/ruedo/core/login"
	"github.com/ruedo-dev/ruedo/core/logs"
	"github.com/ruedo-dev/ruedo/core/members"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/peers"
	"github.com/ruedo-dev/ruedo/core/publish"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/upload"
	"github.com/ruedo-dev/ruedo/core/users"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// Largest messages of requests, in bytes. Inputs over maxInvoke go to
// POST /call/{service}, which is bounded by the service's own limit.
const (
	maxInvoke    = 8 << 20
	maxPublish   = 2 << 20   // the store accepts 1.4 MiB per service
	maxDecorator = 192 << 10 // a schema has at most 128 KiB
	maxQuestion  = 64 << 10
	maxLogin     = 4 << 10 // of strangers
)

// uploadTotal is how long an upload can take: 64 MiB at 27 KiB/s.
const uploadTotal = 40 * time.Minute

// Bytes of memory that a byte of a request can take.
const (
	rawWeight    = 4  // kept as it is, in growing buffers
	fieldWeight  = 16 // texts, maps and lists
	schemaWeight = 80 // a schema is a tree of values
	// A publish may have definitions of decorators, at most half of it.
	publishWeight = schemaWeight / 2
)

// Config configures the handlers. All fields are required. Each handler
// declares only the methods that it uses.
type Config struct {
	Store      *store.Store
	Mirror     *mirror.Mirror
	Catalog    *catalog.Catalog
	Invoker    *invoke.Invoker
	Publisher  *publish.Publisher
	Dispatcher *dispatch.Dispatcher
	Logs       *logs.Reader
	Backups    *backup.Backups
	Members    *members.Members
	Cordons    *cordon.Cordons
	Elector    *leader.Elector
	Jobs       *jobs.Runner
	Users      *users.Users
	Login      *login.Login
	// Check asks whether the request of a context may do something; see package auth.
	Check func(ctx context.Context, verb access.Verb, noun access.Noun, name string) error
	// Peers asks the other cores how they are.
	Peers *peers.Peers
	// Self returns this core and how it is.
	Self func() *ruedov1.Core
	// Cluster is the cluster's id.
	Cluster string
	// Distributed reports whether calls always go to a runner.
	Distributed bool
	// OpenRequests is how many requests to one service of kind http can be open on a
	// core at the same time.
	OpenRequests int
	// Modules bounds modules. All fields are set.
	Modules upload.Limits
	// Fresh lets callers read what they have written.
	Fresh *freshness.Gate
	// Done ends the streams that would otherwise go on forever.
	Done <-chan struct{}
}

// Mount mounts all services.
func Mount(p *port.Server, cfg Config) {
	question := port.Bounds{Message: maxQuestion, Weight: fieldWeight}
	// What reads the catalog waits until this core has what its caller has written.
	// Requests about the cluster itself do not: they have to be answered above all
	// by a core that is behind.
	fresh := func(b port.Bounds, construct func(opts ...connect.HandlerOption) (string, http.Handler), except map[string]port.Bounds) {
		p.Connect(b, func(opts ...connect.HandlerOption) (string, http.Handler) {
			path, h := construct(opts...)
			return path, cfg.Fresh.Handler(h)
		}, except)
	}
	written := connect.WithInterceptors(cfg.Fresh.Interceptor())
	fresh(port.Bounds{Message: maxInvoke, Weight: rawWeight, Unchecked: true, Plain: true}, (&invocation.Service{Invoker: cfg.Invoker, Turns: p.Turns()}).Handler, nil)
	services := &serviceService{publisher: cfg.Publisher, catalog: cfg.Catalog, dispatcher: cfg.Dispatcher, mirror: cfg.Mirror, store: cfg.Store, distributed: cfg.Distributed, openRequests: cfg.OpenRequests, done: cfg.Done}
	fresh(question, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewServiceServiceHandler(services, append(opts, written)...)
	}, map[string]port.Bounds{
		ruedov1connect.ServiceServicePublishServiceProcedure: {Message: maxPublish, Weight: publishWeight},
	})
	decorators := &decoratorService{publisher: cfg.Publisher, mirror: cfg.Mirror, store: cfg.Store}
	schema := port.Bounds{Message: maxDecorator, Weight: schemaWeight}
	fresh(question, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewDecoratorServiceHandler(decorators, append(opts, written)...)
	}, map[string]port.Bounds{
		ruedov1connect.DecoratorServiceCreateDecoratorProcedure: schema,
		ruedov1connect.DecoratorServiceUpdateDecoratorProcedure: schema,
	})
	fresh(question, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewCordonServiceHandler(&cordonService{cfg.Cordons}, append(opts, written)...)
	}, nil)
	fresh(port.Bounds{Message: maxLogin, Weight: fieldWeight}, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewLoginServiceHandler(&loginService{cfg.Login}, append(opts, written)...)
	}, nil)
	fresh(question, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewUserServiceHandler(&userService{cfg.Users}, append(opts, written)...)
	}, nil)
	fresh(question, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewRoleServiceHandler(&roleService{cfg.Users}, append(opts, written)...)
	}, nil)
	fresh(question, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewTokenServiceHandler(&tokenService{cfg.Users}, append(opts, written)...)
	}, nil)
	cluster := &clusterService{mirror: cfg.Mirror, cordons: cfg.Cordons, dispatcher: cfg.Dispatcher, elector: cfg.Elector, peers: cfg.Peers, self: cfg.Self, cluster: cfg.Cluster, distributed: cfg.Distributed}
	p.Connect(question, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewClusterServiceHandler(cluster, opts...)
	}, nil)
	p.Connect(question, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewLogServiceHandler(&logService{cfg.Check, cfg.Logs, cfg.Catalog}, opts...)
	}, nil)
	p.Connect(question, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewMemberServiceHandler(&memberService{cfg.Members}, opts...)
	}, nil)
	p.Connect(question, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewLeaderServiceHandler(&leaderService{cfg.Elector}, opts...)
	}, nil)
	p.Connect(question, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewJobServiceHandler(&jobService{cfg.Jobs, cfg.Elector}, opts...)
	}, nil)
	uploads := upload.New(upload.Config{Store: cfg.Store, Modules: cfg.Modules})
	p.Connect(question, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewModuleServiceHandler(&moduleService{cfg.Store, cfg.Mirror, uploads}, append(opts, connect.WithCodec(uploads.Codec()))...)
	}, map[string]port.Bounds{
		// An upload bounds its memory itself, and can use a slow connection.
		ruedov1connect.ModuleServiceUploadModuleProcedure: {
			Message: upload.MaxPart,
			Body:    cfg.Modules.Size + cfg.Modules.Size/8 + maxQuestion,
			Total:   uploadTotal,
		},
	})
	p.Connect(question, func(opts ...connect.HandlerOption) (string, http.Handler) {
		return ruedov1connect.NewBackupServiceHandler(&backupService{cfg.Backups}, opts...)
	}, map[string]port.Bounds{
		ruedov1connect.BackupServiceRestoreCatalogProcedure: {Message: upload.MaxPart, Body: backup.MaxCatalog + backup.MaxCatalog/8, Total: uploadTotal},
	})

	names := []string{
		ruedov1connect.InvokeServiceName, ruedov1connect.ServiceServiceName, ruedov1connect.DecoratorServiceName,
		ruedov1connect.ModuleServiceName, ruedov1connect.ClusterServiceName, ruedov1connect.LogServiceName,
		ruedov1connect.BackupServiceName,
		ruedov1connect.LoginServiceName, ruedov1connect.UserServiceName, ruedov1connect.RoleServiceName, ruedov1connect.TokenServiceName,
		ruedov1connect.MemberServiceName, ruedov1connect.CordonServiceName,
		ruedov1connect.LeaderServiceName, ruedov1connect.JobServiceName, ruedov1connect.InspectServiceName, ruedov1connect.EventServiceName, ruedov1connect.AuditServiceName,
	}
	reflector := grpcreflect.NewStaticReflector(names...)
	for _, construct := range []func(...connect.HandlerOption) (string, http.Handler){
		func(opts ...connect.HandlerOption) (string, http.Handler) {
			return grpcreflect.NewHandlerV1(reflector, opts...)
		},
		func(opts ...connect.HandlerOption) (string, http.Handler) {
			return grpcreflect.NewHandlerV1Alpha(reflector, opts...)
		},
		func(opts ...connect.HandlerOption) (string, http.Handler) {
			return grpchealth.NewHandler(grpchealth.NewStaticChecker(names...), opts...)
		},
	} {
		p.Connect(question, construct, nil)
	}
}
