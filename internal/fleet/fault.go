package fleet

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// TranslateError translates an error of the etcd client: into ctx's own error if the
// caller went away, or else STORE_UNAVAILABLE, STORE_FULL, REQUEST_INVALID (if
// a value is too large) or INTERNAL. doing describes the operation, for example
// "write service greet". ctx is the caller's context, not the one that bounded
// the operation.
func TranslateError(ctx context.Context, err error, doing string) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fault.Wrap(err, fault.StoreFull, "cannot %s: the store is full", doing).
			WithFix("delete what is not needed, compact and defragment etcd, then disarm its alarm; or raise its quota")
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		return fault.Wrap(err, fault.RequestInvalid, "cannot %s: the value is larger than the store takes in one request", doing).
			WithFix("make it smaller; the limit of etcd is 1.5 MiB")
	case refused(err):
		return fault.Wrap(err, fault.StoreUnavailable, "cannot %s: the store refused the credentials", doing).
			WithFix("check the certificate or the password, and the permissions in etcd")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unavailable(err, doing, "did not answer in time")
	}
	switch codeOf(err) {
	case codes.DeadlineExceeded:
		return unavailable(err, doing, "did not answer in time")
	case codes.Unavailable, codes.Canceled, codes.Aborted:
		return unavailable(err, doing, "does not answer")
	case codes.ResourceExhausted:
		return unavailable(err, doing, "is overloaded")
	}
	return fault.Wrap(err, fault.Internal, "cannot %s: the store answered with an error", doing)
}

// refused reports whether etcd did not accept who is asking.
func refused(err error) bool {
	return errors.Is(err, rpctypes.ErrPermissionDenied) || errors.Is(err, rpctypes.ErrUserEmpty) ||
		errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthFailed)
}

func unavailable(err error, doing, how string) error {
	return fault.Wrap(err, fault.StoreUnavailable, "cannot %s: the store %s", doing, how).
		WithFix("check that etcd runs and is reachable, then try again")
}

func codeOf(err error) codes.Code {
	if e, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		return e.Code()
	}
	return status.Code(err)
}
