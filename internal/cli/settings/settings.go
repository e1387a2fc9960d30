// Package settings is the one place that knows Ruedo's settings: their names,
// defaults, meanings and where a value came from.
//
// [Resolve] gives the [Settings] of a process. A value comes from the first of
// these that has one: a flag, the environment (RUEDO_<SECTION>_<KEY>), the
// config file, the default. [Resolved.Origin] tells which it was, and
// [Table] lists every setting, for help, documents and completion.
//
// The config file is YAML with the same sections and keys:
//
//	server:
//	  port: 7833
//	client:
//	  host: core.example.net
//
// It is the first of: --config FILE, RUEDO_CONFIG,
// $XDG_CONFIG_HOME/ruedo/config.yaml (~/.config where that is not set),
// /etc/ruedo/config.yaml. A file in the current folder is not looked for:
// whoever unpacks somebody's project would be talking to somebody's core.
// Unknown keys in it are refused. Unknown RUEDO_ names in the environment are
// warned of, not refused: the environment is shared with others, for example
// with Kubernetes, which adds RUEDO_SERVICE_HOST for a service named ruedo.
package settings

import "time"

// Settings are all settings of a process. Field order is the order of help and
// documents.
type Settings struct {
	Application Application `section:"application"`
	Store       Store       `section:"store"`
	Server      Server      `section:"server"`
	Client      Client      `section:"client"`
	Runner      Runner      `section:"runner"`
	Log         Log         `section:"log"`
}

// Application is about the process as a whole.
type Application struct {
	Mode       string `key:"mode" enum:"local,client,server,runner" help:"What this process is: local, client, server or runner. Empty: client where a core is named or answers on this machine, else local."`
	ClusterID  string `key:"cluster_id" default:"default" check:"name" help:"Cluster that this process belongs to. Clusters on one store never see each other."`
	WorkingDir string `key:"working_dir" default:".ruedo" help:"Folder in which mode local keeps what it stores."`
}

// Store is about etcd.
type Store struct {
	DataDir      string        `key:"data_dir" help:"Folder of the embedded etcd. Empty: \"store\" in the working folder. Not used where etcd hosts are set."`
	EtcdHosts    []string      `key:"etcd_hosts" check:"hosts" help:"Hosts of an etcd, as host:port, separated by spaces. Empty: etcd runs within this process."`
	EtcdUseTLS   bool          `key:"etcd_use_tls" help:"Speak TLS with etcd."`
	EtcdCAFile   string        `key:"etcd_ca_certificate_file" help:"Certificate authority of etcd, PEM. Empty: those of the system."`
	EtcdCertFile string        `key:"etcd_certificate_file" help:"Client certificate for etcd, PEM."`
	EtcdKeyFile  string        `key:"etcd_private_key_file" help:"Private key of the client certificate, PEM."`
	AcceptEmpty  bool          `key:"accept_empty" default:"false" help:"Accept a store that has lost its data, and start again with what it has. Set it for one start only: without it a core keeps the catalog in memory and refuses writes."`
	StartTimeout time.Duration `key:"start_timeout" default:"30s" help:"How long to wait for etcd at start before giving up."`
}

// Server is about a core.
type Server struct {
	ListenAddress        string   `key:"listen_address" default:"127.0.0.1" help:"Address to listen on."`
	Port                 int      `key:"port" default:"7833" check:"port" help:"Port to listen on. 0 takes a free one."`
	AdvertiseURL         string   `key:"advertise_url" check:"url" help:"URL at which runners and clients reach this core. Empty: made of listen address and port."`
	DistributedExecution bool     `key:"distributed_execution" default:"false" help:"Calls always go to a runner. false: this process executes them itself."`
	Hosts                []string `key:"hosts" check:"names" help:"Names under which web browsers and clients may reach this core, separated by spaces. Addresses, names without a dot, the advertised one and those under .local and .internal are always allowed."`
	MaxConnections       int      `key:"max_connections" default:"0" check:"count" help:"Maximum number of open connections. 0: 8192, or what the limit of open files allows."`
	BufferMemory         int      `key:"buffer_memory" default:"0" check:"count" help:"Memory for requests in flight, and as much for answers that callers have not read yet, in MiB. 0: 96."`
	InsecureListen       bool     `key:"insecure_listen" default:"false" help:"Listen beyond this machine although nobody is asked who they are. Anyone who reaches the port owns the cluster."`
}

// Client is about the commands that talk to a core.
type Client struct {
	Host string `key:"host" default:"127.0.0.1:7833" check:"url" help:"Core to talk to, as host, host:port or URL."`
	Port int    `key:"port" default:"7833" check:"port" help:"Port of the core where host names none."`
}

// Runner is about a runner.
type Runner struct {
	Cores               []string `key:"cores" check:"urls" help:"URLs of cores to attach to, separated by spaces. Empty: those that etcd knows."`
	Name                string   `key:"name" help:"Name for people. Empty: the name of the host."`
	Concurrency         int      `key:"concurrency" default:"0" check:"count" help:"Calls that are executed at once. 0: fits the processors."`
	Queue               int      `key:"queue" default:"0" check:"count" help:"Calls that may wait beside these. 0: fits the concurrency."`
	CacheDir            string   `key:"cache_dir" help:"Folder for modules and compiled code. Empty: \"ruedo\" in the user's cache folder."`
	AnnouncementAddress string   `key:"announcement_address" help:"Host that is shown for this runner. Empty: the name of the host."`
}

// Log is about what the process says of itself on stderr.
type Log struct {
	Level  string `key:"level" default:"info" enum:"debug,info,warn,error" help:"The least important level that is logged."`
	Format string `key:"format" default:"text" enum:"text,json" help:"How it is written."`
}
