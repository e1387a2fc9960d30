package port

import (
	"net/http"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/port/head"
)

// nobody is who requests are of that need not say it.
var nobody = access.Principal{Name: access.Anonymous}

// identify finds out who a request is of, and whether its route is for them.
func (x *exchange) identify(r *http.Request) (err *fault.Error) {
	q := &x.request
	q.Via = access.ViaMemory
	if x.conn != nil {
		q.Via, q.From = x.conn.Via, x.s.cfg.Proxies.Client(x.conn.From, r.Header)
	}
	if x.route.rule.GetOpen() {
		q.Principal = &nobody
		return nil
	}
	if foreign := x.route.Foreign; foreign != nil && foreign(r) {
		r = head.Anonymous(r)
	}
	if q.Principal, err = x.s.cfg.Identify(r, q.Via, q.From); err != nil || x.route.rule == nil {
		return err
	}
	if x.s.cfg.Allow == nil {
		return nil
	}
	if err := x.s.cfg.Allow(x, x.route.rule); err != nil {
		return fault.FromError(err)
	}
	return nil
}
