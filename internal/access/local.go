package access

import (
	"os"
	"os/user"
	"strconv"
)

// Local returns the principal of whoever opens the socket of a core, or has it in
// their own process: the user of the system whom this process belongs to, who may do
// everything.
func Local() *Principal {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return &Principal{Name: "local/" + name, Grants: Set{Everything}}
}

// Everybody returns the principal of all callers in a cluster without logins. It is
// Local, assumed rather than proved.
func Everybody() *Principal {
	p := Local()
	p.Assumed = true
	return p
}
