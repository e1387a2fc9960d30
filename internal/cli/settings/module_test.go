package settings_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/cli/settings"
	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// Every limit of modules is a setting, and has the same default in both places.
func TestTheLimitsOfModulesAreSettings(t *testing.T) {
	r, err := settings.Resolve(settings.Input{})
	if err != nil {
		t.Fatal(err)
	}
	got := r.Module.Limits()
	want := wasmbin.Limits{}.WithDefaults()
	want.MemoryPages = 0 // a limit of each service
	if got != want {
		t.Errorf("the settings say %+v, the defaults are %+v", got, want)
	}
	r, err = settings.Resolve(settings.Input{Env: []string{"RUEDO_MODULE_SIZE=5", "RUEDO_MODULE_COMPLEXITY=40000000", "RUEDO_RUNNER_COMPILE_TIME=1m"}})
	if err != nil {
		t.Fatal(err)
	}
	if l := r.Module.Limits(); l.Size != 5<<20 || l.Complexity != 40_000_000 || r.Runner.CompileTime.Seconds() != 60 {
		t.Errorf("got %+v, %s", l, r.Runner.CompileTime)
	}
	if _, err = settings.Resolve(settings.Input{Env: []string{"RUEDO_MODULE_SIZE=0"}}); err == nil {
		t.Error("modules of no size")
	}
}

// What an error says to raise exists.
func TestFixesNameSettingsThatExist(t *testing.T) {
	advice := regexp.MustCompile(`raise ((?:application|store|server|client|runner|module|log)\.[a-z_]+)|\braise\("([a-z_]+)(?: or (module\.[a-z_]+))?"\)`)
	found := 0
	for _, room := range []string{"../../../sandbox", "../../../runner", "../../../core", "../.."} {
		err := filepath.WalkDir(room, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range advice.FindAllStringSubmatch(string(b), -1) {
				names := []string{m[1], m[3]}
				if m[2] != "" {
					names = append(names, "module."+m[2])
				}
				for _, name := range names {
					if name == "" {
						continue
					}
					found++
					if _, ok := settings.Lookup(name); !ok {
						t.Errorf("%s: there is no setting %s", path, name)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 15 {
		t.Errorf("found only %d", found)
	}
}
