package help

import (
	"io"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/settings"
)

// Settings prints every setting.
func Settings(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`A setting comes from the first of: flag, environment, config file, default.

The config file is the first of --config FILE, RUEDO_CONFIG,
$XDG_CONFIG_HOME/ruedo/config.yaml (~/.config/ruedo/config.yaml) and
/etc/ruedo/config.yaml. It is YAML:

  server:
    port: 7833

ruedo version --show-config shows every value and where it came from.
`)
	section := ""
	var rows [][2]string
	flush := func() {
		writeSection(&b, section, rows)
		rows = nil
	}
	for _, e := range settings.Table() {
		if e.Section != section {
			flush()
			section = e.Section
		}
		text := e.Help
		if e.Default != "" {
			text += " Default: " + e.Default + "."
		}
		rows = append(rows, [2]string{e.Env, text})
	}
	flush()
	_, err := io.WriteString(w, b.String())
	return err
}
