package reference

import (
	"strings"

	"github.com/ruedo-dev/ruedo/internal/cli/page"
	"github.com/ruedo-dev/ruedo/internal/cli/settings"
)

// settingsExample is a config file.
const settingsExample = `server:
  port: 7833
store:
  etcd_hosts: ["db1:2379", "db2:2379"]
`

func settingsPage() (page.Page, error) {
	p := page.Page{
		Name: "settings", Title: "Settings",
		Parts: []page.Part{
			page.Text("A setting comes from the first of these that has it: a flag, the environment, the config file, the default. `ruedo version --show-config` shows every value and where it came from."),
			page.Text("The config file is YAML with a section for each heading below. It is the first of `--config FILE`, `" + settings.EnvConfig + "`, `$XDG_CONFIG_HOME/ruedo/config.yaml` " +
				"(`~/.config/ruedo/config.yaml`) and `/etc/ruedo/config.yaml`. Unknown keys in it are refused. An unknown name in the environment is only warned of: the environment is shared with other programs."),
			page.Code{Language: "yaml", Text: settingsExample},
			page.Text("A profile names the cores and the cluster of commands that talk to a core ([Several clusters](../cluster.md#several-clusters)). For them it takes the place of `client.hosts` and `application.cluster_id`, " +
				"and counts for more than the config file. If `" + settings.EnvProfile + "` or `ruedo use` names the profile, cores in the environment count for more; if `--profile` does, only `--host` does."),
			page.Text("A command shows the token in `" + settings.EnvToken + "`, or else that of `client.token_file`, of `client.token_command`, or of its profile, which `ruedo login` keeps. Without one, it uses the socket of a core on this machine. A core takes the seal key from `" + settings.EnvSealKey + "`, or else from a file."),
		},
	}
	section, t := "", page.Table{}
	flush := func() {
		if section != "" {
			p.Parts = append(p.Parts, page.Heading(section), t)
		}
	}
	for _, e := range settings.Table() {
		if e.Section != section {
			flush()
			section = e.Section
			t = page.Table{Columns: []page.Column{
				{Head: "key", Code: true}, {Head: "environment", Code: true, Label: "(%s)"}, {Head: "type"}, {Head: "default", Code: true}, {Head: "meaning"},
			}}
		}
		help := e.Help
		if len(e.Enum) > 0 && !strings.Contains(help, e.Enum[0]) {
			help += " One of " + strings.Join(e.Enum, ", ") + "."
		}
		t.Rows = append(t.Rows, []string{e.Key, e.Env, e.Type, e.Default, help})
	}
	flush()
	return p, nil
}
