// Package settings is the one place that knows Ruedo's settings: their names,
// defaults, meanings and where a value came from.
//
// [Resolve] returns the [Settings] of a process. A value comes from the first of
// these that has one: a flag, the environment (RUEDO_<SECTION>_<KEY>), the
// config file, the default. [Resolved.Origin] says which it was, and
// [Table] lists every setting, for help, documents and completion.
//
// The config file is YAML with the same sections and keys:
//
//	server:
//	  port: 7833
//	client:
//	  hosts: [core-1.example.net, core-2.example.net]
//
// It is the first of: --config FILE, RUEDO_CONFIG,
// $XDG_CONFIG_HOME/ruedo/config.yaml (~/.config if that is not set),
// /etc/ruedo/config.yaml. A file in the current directory is not
// read: a user who unpacks somebody's project would talk to somebody's core.
// Unknown keys in it are refused. Unknown RUEDO_ names in the environment are
// warned of, not refused: the environment is shared with others, for example
// with Kubernetes, which adds RUEDO_SERVICE_HOST for a service named ruedo.
package settings

import (
	"time"

	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// Settings are all settings of a process. Field order is the order of help and
// documents.
type Settings struct {
	Application Application `section:"application"`
	Store       Store       `section:"store"`
	Server      Server      `section:"server"`
	TLS         TLS         `section:"tls"`
	Auth        Auth        `section:"auth"`
	Seal        Seal        `section:"seal"`
	Audit       Audit       `section:"audit"`
	Collect     Collect     `section:"collect"`
	Client      Client      `section:"client"`
	Runner      Runner      `section:"runner"`
	Module      Module      `section:"module"`
	Log         Log         `section:"log"`
}

// Application is about the process as a whole.
type Application struct {
	Mode       string `key:"mode" enum:"local,client,server,runner" help:"Role of this process: local, client, server or runner. Default: local if no core is configured or answers on this machine and the working directory has a store, otherwise client."`
	ClusterID  string `key:"cluster_id" default:"default" check:"name" help:"Cluster that this process belongs to. Clusters on one store never see each other."`
	WorkingDir string `key:"working_dir" default:".ruedo" help:"Directory of what a process keeps: an embedded store, the seal key, backups before migrations."`
}

// Store is about etcd.
type Store struct {
	DataDir          string        `key:"data_dir" help:"Directory of the embedded etcd. Default: \"store\" in the working directory. Not used if etcd hosts are set."`
	EtcdHosts        []string      `key:"etcd_hosts" check:"hosts" help:"Hosts of an etcd, as host:port, separated by spaces. Default: etcd runs within this process."`
	EtcdUseTLS       bool          `key:"etcd_use_tls" help:"Speak TLS with etcd."`
	EtcdCAFile       string        `key:"etcd_ca_certificate_file" help:"Certificate authority of etcd, PEM. Default: those of the system."`
	EtcdCertFile     string        `key:"etcd_certificate_file" help:"Client certificate for etcd, PEM."`
	EtcdKeyFile      string        `key:"etcd_private_key_file" help:"Private key of the client certificate, PEM."`
	EtcdUser         string        `key:"etcd_username" help:"User of etcd, if it asks for a password."`
	EtcdPassword     string        `key:"etcd_password_file" help:"File with the password of that user, on one line."`
	PeerAddress      string        `key:"peer_address" check:"hosts" help:"host:port on which the embedded etcd listens for the other members of its store. Default: it is alone; with store.peers or store.join, port 7834 of server.listen_address."`
	PeerAdvertiseURL string        `key:"peer_advertise_url" check:"url" help:"URL at which the other members reach this one, for example behind NAT. Default: derived from store.peer_address."`
	Peers            []string      `key:"peers" check:"urls" help:"Peer URLs of all members of a new store, this one's included, separated by spaces. Not used once there is data."`
	Join             []string      `key:"join" check:"urls" help:"Cores of the cluster whose store to join, separated by spaces. Not used once this member has joined."`
	MemberName       string        `key:"member_name" help:"Name of this member of the store, unique in it. Default: the host and port of its peer URL."`
	PeerCertFile     string        `key:"peer_certificate_file" help:"Certificate with which this member meets the others, as a server and as a client, PEM. Needed to listen beyond loopback."`
	PeerKeyFile      string        `key:"peer_private_key_file" help:"Private key of that certificate, PEM."`
	PeerCAFile       string        `key:"peer_ca_certificate_file" help:"Certificate authority of all members, PEM."`
	InsecurePeers    bool          `key:"insecure_peers" default:"false" help:"Allow traffic between members beyond loopback without certificates. Anyone who can reach the port controls the store."`
	Tick             string        `key:"tick" enum:"single,near,wan" help:"How often members of the store hear from their leader and how soon they elect another one: single (10 and 100 ms), near (50 and 500 ms, one site) or wan (100 ms and 1 s). The same for all members. Default: near, or single without other members."`
	Quota            int           `key:"quota" default:"2048" check:"quota" help:"Maximum size of the embedded store, in MiB, at least 16. At 80 % there are warnings; at the quota, writes are refused."`
	AcceptEmpty      bool          `key:"accept_empty" default:"false" help:"Accept a store that has lost its data, and start again with what it has. Set it for one start only: without it a core keeps the catalog in memory and refuses writes."`
	StartTimeout     time.Duration `key:"start_timeout" default:"30s" help:"How long to wait for etcd at start before giving up."`
}

// Server is about a core.
type Server struct {
	ListenAddress        string        `key:"listen_address" default:"127.0.0.1" help:"Address to listen on."`
	Port                 int           `key:"port" default:"7833" check:"port" help:"Port to listen on. 0 takes a free one."`
	AppsListen           string        `key:"apps_listen" check:"hosts" help:"host:port of a second port, for web applications: /svc/ and the routes of services, without the API, so that browsers take it for another origin. Default: none."`
	AdvertiseURL         string        `key:"advertise_url" check:"url" help:"URL at which runners and clients reach this core. Default: derived from the listen address and port."`
	DistributedExecution bool          `key:"distributed_execution" default:"false" help:"Send every call to a runner. false: this process executes calls itself."`
	Zone                 string        `key:"zone" check:"label" help:"Zone that this core is in. It sends calls to ready runners with the same label zone, and to others only if there is none. Default: it prefers no zone."`
	Hosts                []string      `key:"hosts" check:"names" help:"Names under which web browsers and clients may reach this core, separated by spaces. Addresses, names without a dot, the advertised one and those under .local and .internal are always allowed."`
	MaxConnections       int           `key:"max_connections" default:"0" check:"count" help:"Maximum number of open connections. With server.apps_listen, each of both ports has half of them. 0: 8192, or what the limit of open files allows."`
	BufferMemory         int           `key:"buffer_memory" default:"0" check:"count" help:"Memory for requests in flight, and as much for answers that callers have not read yet, in MiB. 0: 96."`
	MaxRunners           int           `key:"max_runners" default:"1024" check:"bound" help:"Maximum number of runners in the cluster. More are refused with RUNNER_LIMIT; those that started first stay. The same for all cores."`
	MaxLanesPerAddress   int           `key:"max_lanes_per_address" default:"128" check:"bound" help:"Maximum number of runners that are attached to this core from one IPv4 address or IPv6 /64 network, for example behind one NAT; also how often that address can try to attach in quick succession, after that four times a second. More are refused with LANE_LIMIT."`
	QueueTimeout         time.Duration `key:"queue_timeout" default:"5s" check:"wait" help:"How long a call waits for its turn on a runner before it is refused with QUEUE_TIMEOUT, 1ms to 10m."`
	ShutdownDelay        time.Duration `key:"shutdown_delay" default:"0s" check:"delay" help:"How long a core that is asked to end still serves, while /readyz answers 503, so that load balancers can take it out, up to 10m."`
	InsecureListen       bool          `key:"insecure_listen" default:"false" help:"Allow listening on non-loopback addresses without logins or without TLS: anyone who can reach the port then controls the cluster, or anyone on the way can read tokens. It is said at each start."`
	Socket               string        `key:"socket" help:"Path of the unix socket by which the owner of this process, and root, administer the cluster without logging in. off: none. Default: core-PORT.sock in /run/ruedo, $XDG_RUNTIME_DIR/ruedo or a directory of the user below that for temporary files, the first that can be had."`
	Origins              []string      `key:"origins" check:"origins" help:"Origins of web pages that may use the API and call services, besides the core's own, separated by spaces: each as a browser writes it, such as https://app.example.com or http://localhost:5173. Default: none."`
	TrustedProxies       []string      `key:"trusted_proxies" help:"Addresses and networks of proxies in front of the core, separated by spaces. Their X-Forwarded-For says where a request comes from. Default: none is believed."`
}

// Auth is about logins.
type Auth struct {
	Mode           string        `key:"mode" default:"auto" enum:"auto,on,off" help:"Whether callers have to log in: on or off, refused if the cluster has it otherwise; auto takes what the cluster has. ruedo server makes a new cluster with logins unless this is off, ruedo dev without unless this is on. It is a property of the cluster: logins can be required later, and never be turned off."`
	Session        time.Duration `key:"session" default:"24h" check:"session" help:"How long a login lasts, 1m to 720h."`
	MaxStale       time.Duration `key:"max_stale" default:"24h" check:"period" help:"How long a core that does not reach the store goes on to believe what it knows of users and tokens, 1s to 8760h. After that it answers STALE_ACCESS, except on its socket."`
	AdminTokenFile string        `key:"admin_token_file" help:"File with a token of ruedo create token --offline, for installations without anybody at the machine: it has the role admin as long as no user has. Refused if others can read it."`
}

// Seal is about the key that opens the secrets of a cluster.
type Seal struct {
	KeyFile string `key:"key_file" help:"File of the seal key, without which a core of a cluster with logins does not start. All cores of the cluster need the same. RUEDO_SEAL_KEY or the systemd credential ruedo-seal-key take its place. Default: seal.key in the working directory, made when the cluster is."`
}

// Audit is about the record of changes, logins and denials.
type Audit struct {
	Keep time.Duration `key:"keep" default:"9600h" check:"age" help:"How long records are kept, at most 200,000 of them, up to 87600h."`
}

// TLS is about connections between parts of the cluster, and to it.
type TLS struct {
	Mode               string   `key:"mode" default:"auto" enum:"auto,on,off" help:"Whether the ports of a core have TLS. auto: unless only this machine can reach them and there is no certificate of one's own."`
	CAFile             string   `key:"ca_certificate_file" help:"Certificate authorities that clients and runners trust cores by, and a core the certificates of clients, PEM. A profile of ruedo login names that of its cluster. Default: those of the system."`
	CertFile           string   `key:"certificate_file" help:"Certificate of a core for clients that do not trust the authority of its cluster, PEM. It is read again when it changes. A runner shows it to cores that ask for one, unless client.certificate_file is set. Default: the cluster's own authority issues one."`
	KeyFile            string   `key:"private_key_file" help:"Private key of that certificate, PEM."`
	Names              []string `key:"names" help:"Host names and addresses in the certificates that the cluster's own authority issues, besides those that a core knows itself, separated by spaces."`
	ClientCertificates string   `key:"client_certificates" default:"off" enum:"off,require" help:"Whether clients need a certificate by tls.ca_certificate_file besides their login: off or require."`
	ClientNames        []string `key:"client_names" help:"Names of which a client certificate needs one, separated by spaces; *.example.com stands for all below. Default: any will do."`
}

// Collect is about what the leader removes from the store. In one cluster it
// should be the same everywhere: any core can become the leader.
type Collect struct {
	Interval    time.Duration `key:"interval" default:"1h" check:"period" help:"How often the leader removes what nobody needs, 1s to 8760h."`
	Revisions   int           `key:"revisions" default:"50" check:"bound" help:"Number of revisions of a service to keep, the newest ones. The live one and the one before it are kept in any case."`
	RevisionAge time.Duration `key:"revision_age" default:"0s" check:"age" help:"Keep revisions that are younger than this, whatever their number, up to 87600h."`
	ModuleAge   time.Duration `key:"module_age" default:"24h" check:"age" help:"How long to keep modules that no revision uses after they were last uploaded or asked for, and chunks of broken uploads, which stay at least an hour; up to 87600h. With 0s, a publish can lose the module that it has just uploaded, and has to be repeated."`
}

// Client is about the commands that talk to a core.
type Client struct {
	Hosts []string `key:"hosts" check:"cores" help:"Cores of one cluster to talk to, each as host, host:port, URL or unix:/path of a socket, separated by spaces or commas. The one that answered last is asked first; if it cannot be connected to, the next one. Default: client.host."`
	Host  string   `key:"host" default:"127.0.0.1:7833" check:"cores" help:"Core to talk to, as host, host:port, URL or unix:/path of a socket; or several, as client.hosts."`
	Port  int      `key:"port" default:"7833" check:"port" help:"Port of a core that does not include one."`

	TokenFile    string `key:"token_file" help:"File with the token to show, which is read again when it changes. Others must not be able to read it. Default: the token of the profile, from ruedo login."`
	TokenCommand string `key:"token_command" help:"Command line that prints the token to show, for example of a password manager; the shell runs it."`

	CertFile string `key:"certificate_file" help:"Client certificate to show to cores that ask for one (tls.client_certificates), PEM. It is read again when it changes. Default: that of the profile; of a runner, and of a core that joins others, tls.certificate_file."`
	KeyFile  string `key:"private_key_file" help:"Private key of that certificate, PEM. Others must not be able to read it."`
}

// Runner is about a runner.
type Runner struct {
	Cores               []string      `key:"cores" check:"urls" help:"URLs of cores to attach to, separated by spaces. Default: the cores registered in etcd."`
	Name                string        `key:"name" help:"Human-readable name. Default: the name of the host."`
	Labels              []string      `key:"labels" check:"labels" help:"What the runner says of itself, as key=value, separated by spaces: for example zone=eu-1 rack=7. Services choose runners by it (placement in ruedo.yaml), and cores prefer those of their own zone. At most 32, in the syntax of Kubernetes."`
	ID                  string        `key:"id" check:"name" help:"Id, unique in the cluster. Set it where runner.cache_dir does not outlive the runner, as in most containers: a cordon is about an id. Default: the name and six random characters, kept in runner.cache_dir."`
	Concurrency         int           `key:"concurrency" default:"0" check:"count" help:"Maximum concurrent calls. 0 means twice the number of CPUs."`
	Queue               int           `key:"queue" default:"0" check:"count" help:"Maximum queued calls. 0 means 256."`
	Streams             int           `key:"streams" default:"0" check:"count" help:"Maximum open requests to services of kind http, three quarters of them to one service. Most of them wait, which takes about 0.6 MiB each and none of runner.concurrency. 0 means 1000."`
	CompileTime         time.Duration `key:"compile_time" default:"12s" help:"Processor time that compiling a module can take. Each MiB of code adds an eighth, and a module that was compiled before in this cluster gets four times as much. The wall-clock limit is two and a half times that, at least 30s."`
	CacheDir            string        `key:"cache_dir" help:"Directory for modules and compiled code. Default: \"ruedo\" in the user's cache directory."`
	CacheSize           int           `key:"cache_size" default:"0" check:"count" help:"Maximum size of that directory, in MiB. What live services need goes last. 0 means 2048."`
	ModuleRate          int           `key:"module_rate" default:"0" check:"count" help:"How fast modules can arrive, in KiB per second, so that calls keep their share of a thin link. A transfer that breaks off resumes where it stopped. 0 means as fast as possible."`
	PlanMemory          int           `key:"plan_memory" default:"0" check:"count" help:"Memory for services that are ready without being called, in MiB; the least recently called ones leave it and come back with their next call. 0 means a quarter of the memory of the machine or container."`
	LogSuccesses        bool          `key:"log_successes" default:"false" help:"Write to the runner's own log what guests log in successful calls, too; what they log in failed calls is always written. ruedo dev sets it."`
	EgressDeny          []string      `key:"egress_deny" default:"default" help:"What no service connects to from this runner, whatever a decorator grants: names, addresses and ranges, each with or without a port, separated by spaces. default stands for this runner's cores and store, the ports of this process, 169.254.169.254 and fd00:ec2::254."`
	EgressCA            string        `key:"egress_ca" help:"File with certificate authorities, PEM, that https and tls connections of services trust in addition to those of the system."`
	AnnouncementAddress string        `key:"announcement_address" help:"Host name shown for this runner. Default: the name of the host."`
}

// Module bounds the modules that a core stores, a runner loads and `ruedo check`
// accepts. In one cluster they should be the same everywhere.
type Module struct {
	Size          int `key:"size" default:"64" check:"bound" help:"Size of a module in MiB."`
	Types         int `key:"types" default:"20000" check:"bound" help:"Number of types."`
	Functions     int `key:"functions" default:"100000" check:"bound" help:"Number of functions that a module defines."`
	Imports       int `key:"imports" default:"1000" check:"bound" help:"Number of imports."`
	Exports       int `key:"exports" default:"10000" check:"bound" help:"Number of exports."`
	Globals       int `key:"globals" default:"10000" check:"bound" help:"Number of globals."`
	Tables        int `key:"tables" default:"16" check:"bound" help:"Number of tables."`
	TableElements int `key:"table_elements" default:"1000000" check:"bound" help:"Elements with which all tables together start."`
	Elements      int `key:"elements" default:"100000" check:"bound" help:"Number of element segments."`
	Data          int `key:"data" default:"100000" check:"bound" help:"Number of data segments."`
	Params        int `key:"params" default:"1000" check:"bound" help:"Number of parameters, and of results, of one type."`
	Locals        int `key:"locals" default:"10000" check:"bound" help:"Number of locals of one function."`
	Body          int `key:"body" default:"1" check:"bound" help:"Code of one function in MiB."`
	Nesting       int `key:"nesting" default:"10000" check:"bound" help:"How deeply blocks nest."`
	Targets       int `key:"targets" default:"16384" check:"bound" help:"Number of targets of one br_table, to which compilers turn a switch."`
	Complexity    int `key:"complexity" default:"16000000" check:"bound" help:"What all functions together cost a compiler, in microseconds of processor time in the worst case."`
}

// Limits returns the bounds for those that check modules.
func (m Module) Limits() wasmbin.Limits {
	return wasmbin.Limits{
		Size: int64(m.Size) << 20, Types: m.Types, Functions: m.Functions, Imports: m.Imports, Exports: m.Exports, Globals: m.Globals,
		Tables: m.Tables, TableMin: uint32(m.TableElements), Elements: m.Elements, Data: m.Data, Params: m.Params, Locals: m.Locals,
		Body: m.Body << 20, Nesting: m.Nesting, Targets: m.Targets, Complexity: int64(m.Complexity),
	}
}

// Log is about what the process says of itself on stderr.
type Log struct {
	Level  string `key:"level" default:"info" enum:"debug,info,warn,error" help:"Lowest level that is logged: debug, info, warn or error."`
	Format string `key:"format" default:"text" enum:"text,json" help:"Log format: text or json."`
}
