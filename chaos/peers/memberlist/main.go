// One memberlist node that reports what it learns. Started by cluster.py; see node.py for what it writes and reads.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/hashicorp/memberlist"
)

const (
	clockMonotonic = 1
	orderTimeout   = time.Minute
)

type settings struct {
	ProbeIntervalS   float64 `json:"probe_interval_s"`
	ProbeTimeoutS    float64 `json:"probe_timeout_s"`
	IndirectProbes   int     `json:"indirect_probes"`
	SuspicionMult    int     `json:"suspicion_mult"`
	SuspicionMaxMult int     `json:"suspicion_max_mult"`
	HealthScaleMax   int     `json:"health_scale_max"`
	GossipIntervalS  float64 `json:"gossip_interval_s"`
	GossipFanout     int     `json:"gossip_fanout"`
	RetransmitMult   int     `json:"retransmit_mult"`
	SyncIntervalS    float64 `json:"sync_interval_s"`
}

// monotonic returns seconds on the clock that all processes of the machine share; Go's own is relative to its start.
func monotonic() float64 {
	var now syscall.Timespec
	if _, _, code := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0); code != 0 {
		fail("clock_gettime", code)
	}
	return float64(now.Sec) + float64(now.Nsec)/1e9
}

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

var writing sync.Mutex

func report(kind string, fields map[string]interface{}) {
	fields["kind"] = kind
	fields["at"] = monotonic()
	line, err := json.Marshal(fields)
	if err != nil {
		fail("report", err)
	}
	writing.Lock()
	defer writing.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

// reporter reports what memberlist tells an application. It tells of no suspicions.
type reporter struct{ me string }

func (r reporter) tell(kind string, node *memberlist.Node, fields map[string]interface{}) {
	if node.Name != r.me {
		fields["member"] = node.Name
		report(kind, fields)
	}
}

func (r reporter) NotifyJoin(node *memberlist.Node) {
	r.tell("alive", node, map[string]interface{}{})
}

func (r reporter) NotifyUpdate(node *memberlist.Node) {
	r.tell("changed", node, map[string]interface{}{"value": string(node.Meta)})
}

func (r reporter) NotifyLeave(node *memberlist.Node) {
	// The same call tells of a death and of a goodbye; the harness knows whom it told to leave.
	r.tell("dead", node, map[string]interface{}{})
}

// accusations are what memberlist's log says of members that did not answer this node: it has no event for that.
type accusations struct{}

var accusation = regexp.MustCompile(`memberlist: Suspect (\S+) has failed`)

func (accusations) Write(line []byte) (int, error) {
	if found := accusation.FindSubmatch(line); found != nil {
		report("suspect", map[string]interface{}{"member": string(found[1])})
	}
	return len(line), nil
}

// metadata is the delegate that memberlist asks for this node's metadata, and it does nothing else.
type metadata struct {
	sync.Mutex
	value string
}

func (m *metadata) set(value string) {
	m.Lock()
	defer m.Unlock()
	m.value = value
}

func (m *metadata) NodeMeta(int) []byte {
	m.Lock()
	defer m.Unlock()
	return []byte(m.value)
}

func (m *metadata) NotifyMsg([]byte)                {}
func (m *metadata) GetBroadcasts(int, int) [][]byte { return nil }
func (m *metadata) LocalState(bool) []byte          { return nil }
func (m *metadata) MergeRemoteState([]byte, bool)   {}

// orders follows the orders on stdin until that ends.
func orders(list *memberlist.Memberlist, meta *metadata) {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 1 && words[0] == "leave":
			report("begun", map[string]interface{}{})
			if err := list.Leave(orderTimeout); err != nil {
				fail("leave", err)
			}
		case len(words) == 2 && words[0] == "change":
			meta.set(words[1])
			report("begun", map[string]interface{}{})
			if err := list.UpdateNode(orderTimeout); err != nil {
				fail("change", err)
			}
		default:
			fail("order", fmt.Errorf("expected one, got %q", lines.Text()))
		}
	}
}

func seconds(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }

// configuration is the LAN preset with the common settings in place.
func configuration(name string, common settings, meta *metadata, key []byte) *memberlist.Config {
	config := memberlist.DefaultLANConfig()
	config.Name = name
	config.BindAddr = "127.0.0.1"
	config.BindPort = 0
	config.AdvertiseAddr = "127.0.0.1"
	config.AdvertisePort = 0
	config.ProbeInterval = seconds(common.ProbeIntervalS)
	config.ProbeTimeout = seconds(common.ProbeTimeoutS)
	config.IndirectChecks = common.IndirectProbes
	config.SuspicionMult = common.SuspicionMult
	config.SuspicionMaxTimeoutMult = common.SuspicionMaxMult
	config.AwarenessMaxMultiplier = common.HealthScaleMax
	config.GossipInterval = seconds(common.GossipIntervalS)
	config.GossipNodes = common.GossipFanout
	config.RetransmitMult = common.RetransmitMult
	config.PushPullInterval = seconds(common.SyncIntervalS)
	config.Events = reporter{me: name}
	config.Delegate = meta
	config.SecretKey = key
	config.LogOutput = accusations{}
	return config
}

// readKey returns the key in a file, or nil without one: then nothing is encrypted.
func readKey(path string) []byte {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		fail("key", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		fail("key", err)
	}
	return key
}

func init() {
	// Linux forgets the order when the thread that gave it ends; the main thread lasts.
	runtime.LockOSThread()
	syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
}

func main() {
	name := flag.String("name", "", "")
	seed := flag.String("seed", "", "")
	flag.Int("nodes", 0, "not needed here")
	text := flag.String("settings", "", "")
	keyFile := flag.String("key-file", "", "")
	flag.Parse()
	var common settings
	if err := json.Unmarshal([]byte(*text), &common); err != nil {
		fail("settings", err)
	}
	meta := &metadata{}
	list, err := memberlist.Create(configuration(*name, common, meta, readKey(*keyFile)))
	if err != nil {
		fail("create", err)
	}
	if *seed != "" {
		if _, err := list.Join([]string{*seed}); err != nil {
			fail("join", err)
		}
	}
	local := list.LocalNode()
	address := net.JoinHostPort(local.Addr.String(), fmt.Sprint(local.Port))
	report("ready", map[string]interface{}{"address": address})
	orders(list, meta)
}
