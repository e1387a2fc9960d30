package port

import (
	"net/http"
	"os"
	"os/user"
	"strconv"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// everybody returns the default of [Config.Identify].
func everybody() func(*http.Request, string, string) (*access.Principal, *fault.Error) {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	p := &access.Principal{Name: "local/" + name, Grants: access.Set{access.Everything}, Assumed: true}
	return func(*http.Request, string, string) (*access.Principal, *fault.Error) { return p, nil }
}
