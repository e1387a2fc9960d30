package source

import (
	"github.com/ruedo-dev/ruedo/internal/cli/absent"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// warn finds what the program uses and a guest does not have, and warns of what
// it did not warn of before.
func (src *Source) warn(s *session.Session, info *wasmbin.Info) {
	if src.dir != "" {
		src.Absent = absent.Source(src.dir, absent.Options{
			Command: info.Kind == wasmbin.Command, Zones: absent.HasZones(src.Wasm), Dials: absent.Dials(info.Imports), Granted: src.granted(),
		})
	} else {
		src.Absent = absent.Module(src.Wasm, info.Imports, src.granted())
	}
	for _, f := range src.Absent {
		s.WarnOnce(f.Key(), "%s", output.Safe(f.String()))
	}
}
