// One memberlist node that reports what it learns. Started by cluster.py; see node.py for what it writes and reads.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/armon/go-metrics"
	"github.com/hashicorp/memberlist"
)

const clockMonotonic = 1

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

func (r reporter) tell(kind string, node *memberlist.Node) {
	if node.Name != r.me {
		report(kind, map[string]interface{}{"member": node.Name})
	}
}

func (r reporter) NotifyJoin(node *memberlist.Node) { r.tell("alive", node) }
func (r reporter) NotifyUpdate(*memberlist.Node)    {}
func (r reporter) NotifyLeave(node *memberlist.Node) {
	// The same call tells of a death and of a goodbye; nobody says goodbye in these experiments.
	r.tell("dead", node)
}

// counters adds up memberlist's own measurements: a sample is a packet, its value the length of the packet.
type counters struct {
	metrics.BlackholeSink
	sent, sentBytes, received, receivedBytes int64
}

func (c *counters) IncrCounter(key []string, value float32) {
	switch strings.Join(key, ".") {
	case "memberlist.udp.sent":
		atomic.AddInt64(&c.sent, 1)
		atomic.AddInt64(&c.sentBytes, int64(value))
	case "memberlist.udp.received":
		atomic.AddInt64(&c.received, 1)
		atomic.AddInt64(&c.receivedBytes, int64(value))
	}
}

func (c *counters) IncrCounterWithLabels(key []string, value float32, _ []metrics.Label) {
	c.IncrCounter(key, value)
}

func (c *counters) values() map[string]int64 {
	return map[string]int64{
		"packets_sent":     atomic.LoadInt64(&c.sent),
		"bytes_sent":       atomic.LoadInt64(&c.sentBytes),
		"packets_received": atomic.LoadInt64(&c.received),
		"bytes_received":   atomic.LoadInt64(&c.receivedBytes),
	}
}

func seconds(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }

// configuration is the LAN preset with the common settings in place.
func configuration(name string, common settings) *memberlist.Config {
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
	config.LogOutput = io.Discard
	return config
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
	flag.Parse()
	var common settings
	if err := json.Unmarshal([]byte(*text), &common); err != nil {
		fail("settings", err)
	}
	sink := &counters{}
	measured := metrics.DefaultConfig("")
	measured.EnableHostname = false
	measured.EnableRuntimeMetrics = false
	if _, err := metrics.NewGlobal(measured, sink); err != nil {
		fail("metrics", err)
	}
	list, err := memberlist.Create(configuration(*name, common))
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
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		report("counters", map[string]interface{}{"values": sink.values()})
	}
}
