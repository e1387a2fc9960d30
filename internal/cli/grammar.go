package cli

import (
	"github.com/alecthomas/kong"

	"github.com/ruedo-dev/ruedo/internal/cli/calling"
	"github.com/ruedo-dev/ruedo/internal/cli/cordon"
	"github.com/ruedo-dev/ruedo/internal/cli/db"
	"github.com/ruedo-dev/ruedo/internal/cli/doctor"
	"github.com/ruedo-dev/ruedo/internal/cli/inspect"
	"github.com/ruedo-dev/ruedo/internal/cli/leading"
	"github.com/ruedo-dev/ruedo/internal/cli/login"
	"github.com/ruedo-dev/ruedo/internal/cli/members"
	"github.com/ruedo-dev/ruedo/internal/cli/publishing"
	"github.com/ruedo-dev/ruedo/internal/cli/trust"
	"github.com/ruedo-dev/ruedo/internal/cli/use"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
)

// grammar is the command line. The order is the order of help.
type grammar struct {
	globals

	New      newCmd              `cmd:"" group:"services" help:"Create a new service (builds offline)."`
	Build    buildCmd            `cmd:"" group:"services" help:"Build the module of a service."`
	Check    publishing.Check    `cmd:"" group:"services" help:"Try a module in the sandbox and report, without publishing."`
	Publish  publishing.Publish  `cmd:"" group:"services" help:"Build, check and upload a service, and make it live."`
	Call     calling.Call        `cmd:"" group:"services" help:"Call a service."`
	Logs     logsCmd             `cmd:"" group:"services" help:"Show what a service logged and printed, from all runners."`
	Run      calling.Run         `cmd:"" group:"services" help:"Call a service (run service is the same as call)."`
	Promote  publishing.Promote  `cmd:"" group:"services" help:"Make a revision live that was published with --no-live."`
	Rollback publishing.Rollback `cmd:"" group:"services" help:"Make an older revision live again."`

	verb.Commands

	Db     db.Commands    `cmd:"" group:"resources" help:"Carry the catalog as a whole: backup, restore, export, import, migrate."`
	Leader leading.Leader `cmd:"" group:"cluster" help:"Have the leader of the cluster hand over."`
	Job    leading.Job    `cmd:"" group:"cluster" help:"Run one of the leader's jobs."`

	Cordon   cordon.Cordon   `cmd:"" group:"cluster" help:"Give a runner no new calls."`
	Uncordon cordon.Uncordon `cmd:"" group:"cluster" help:"Give a cordoned runner calls again."`
	Drain    cordon.Drain    `cmd:"" group:"cluster" help:"Cordon a runner, and wait for its calls in flight."`
	Inspect  inspect.Inspect `cmd:"" group:"cluster" help:"Look at the cluster as a whole: its health, and what runs now."`

	Login  login.Login  `cmd:"" group:"access" help:"Log in to a cluster."`
	Logout login.Logout `cmd:"" group:"access" help:"End the session, or all of the user."`
	Whoami login.Whoami `cmd:"" group:"access" help:"Show who you are, and what you may do."`
	Passwd login.Passwd `cmd:"" group:"access" help:"Change your password."`
	Can    login.Can    `cmd:"" group:"access" help:"Say whether you may do something."`
	Grant  trust.Grant  `cmd:"" group:"access" help:"Give roles and grants to a user."`
	Revoke trust.Revoke `cmd:"" group:"access" help:"Take roles and grants away from a user."`
	Update trust.Update `cmd:"" group:"access" help:"Change a user, a role, or whether callers have to log in."`
	Rotate trust.Rotate `cmd:"" group:"access" help:"Replace the secret of a token, or the authority of the cluster."`

	Dev    devCmd    `cmd:"" group:"processes" help:"Run a whole cluster on this machine: store, core and two runners."`
	Demo   demoCmd   `cmd:"" group:"processes" help:"Show what Ruedo does, with the examples."`
	Server serverCmd `cmd:"" group:"processes" help:"Start a core."`
	Runner runnerCmd `cmd:"" group:"processes" help:"Start a runner."`

	Member members.Member `cmd:"" group:"store" help:"Add, remove, promote or replace a member of the store."`
	Store  members.Store  `cmd:"" group:"store" help:"Compact the store, or recover it."`

	Doctor     doctor.Doctor `cmd:"" group:"other" help:"Look for what is wrong with this machine and the cluster."`
	Use        use.Use       `cmd:"" group:"other" help:"Choose the profile, and so the cluster, of the commands that follow."`
	Version    versionCmd    `cmd:"" group:"other" help:"Show version and settings."`
	Completion completionCmd `cmd:"" group:"other" help:"Print a script that completes commands and names."`
	Help       helpCmd       `cmd:"" group:"other" help:"Show help of a command, or of a topic."`
	Bare       bareCmd       `cmd:"" hidden:"" default:"1"`
	Complete   completeCmd   `cmd:"" name:"__complete" hidden:"" passthrough:""`
}

func (*grammar) Examples() []string {
	return []string{
		"ruedo dev                               a cluster on this machine",
		"ruedo new greet && cd greet",
		"ruedo publish",
		`ruedo call greet -d '{"name":"Ada"}'`,
	}
}

// Topics returns what `ruedo help` knows besides commands.
func (g *grammar) Topics() (rows [][2]string) {
	for _, t := range g.Help.topics {
		rows = append(rows, [2]string{t.Name, t.Help})
	}
	return rows
}

// groups are the titles that commands stand under.
func groups() kong.Option {
	return kong.ExplicitGroups([]kong.Group{
		{Key: "services", Title: "Services"},
		{Key: "resources", Title: "Resources"},
		{Key: "cluster", Title: "Cluster"},
		{Key: "access", Title: "Access"},
		{Key: "processes", Title: "Processes"},
		{Key: "store", Title: "Store"},
		{Key: "other", Title: "Other"},
	})
}

// globals are flags of every command.
type globals struct {
	ConfigFile string `name:"config" placeholder:"FILE" help:"Read settings from this file."`
	Mode       string `placeholder:"MODE" setting:"application.mode"`
	Local      bool   `help:"Work on a store in this directory, without a core: short for --mode local."`
	Host       string `short:"H" placeholder:"HOST" setting:"client.host"`
	Profile    string `placeholder:"NAME" setting:"profile" complete:"profile" help:"Talk to the cores of this profile; see ruedo use."`
	ClusterID  string `name:"cluster-id" placeholder:"ID" setting:"application.cluster_id"`
	WorkingDir string `placeholder:"DIR" setting:"application.working_dir"`
	LogLevel   string `placeholder:"LEVEL" setting:"log.level"`
	LogFormat  string `placeholder:"FORMAT" setting:"log.format"`

	Output    string `short:"o" placeholder:"FORMAT" enum:"table,wide,json,jsonl,yaml,name" default:"table" help:"Output format: table, wide, json, jsonl (a line per item), yaml or name."`
	Raw       bool   `help:"Print JSON, the same as -o json."`
	NoHeaders bool   `help:"Omit the first line of tables."`
	Verbose   bool   `short:"v" help:"Print more: causes of errors, where things are."`

	ShowVersion kong.VersionFlag `name:"version" short:"V" help:"Print the version of this program."`
}

// storeFlags are flags of commands that open a store.
type storeFlags struct {
	DataDir      string   `placeholder:"DIR" setting:"store.data_dir"`
	EtcdHosts    []string `placeholder:"HOST:PORT" sep:"none" setting:"store.etcd_hosts"`
	AcceptEmpty  bool     `setting:"store.accept_empty"`
	StartTimeout string   `placeholder:"DURATION" setting:"store.start_timeout"`
}
