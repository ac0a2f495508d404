package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
)

// DefaultMaxBans is the size of a set.
const DefaultMaxBans = 262144

// Options describe the table. Each zero field takes its default.
type Options struct {
	Table string // name, family inet; default amifend
	// of the scopes sip and stream; default of each field: DefaultSIPPorts, DefaultWSPorts
	Ports   Ports
	MaxBans int // elements in each set; default DefaultMaxBans
	// never dropped: the allowlist and the protected addresses; SetAllow replaces it
	Allow []netip.Prefix
	// the names of the feeds, each with sets and a counter of its own; SetFeeds replaces them
	Feeds []string
	// descriptor of the network namespace to work in; 0: that of the calling thread
	NetNS int
	// watches the answers of the PBXs; nil: nothing does
	Sensor *Sensor
	// limits the requests of strangers; nil: nothing does
	Limiter *Limiter
	// how often Watch checks by itself, should the kernel's notifications be lost; default 5 s
	Poll time.Duration
}

// Table is an nftables table of bans. Its methods may be called from several goroutines; Apply,
// Ensure and SetAllow wait for each other, and so do Element, Denied, Dropped and Watch's checks.
// Bans and Elements wait for each other only, no reader makes a writer wait, and SetDeny makes
// nobody wait.
type Table struct {
	table *nftables.Table
	sets  []banSet
	ksets []*nftables.Set // the same order as sets
	ports Ports
	poll  time.Duration
	now   func() time.Time

	// the kernel updates the expiry of an element that is added again (Linux 6.12); else it is
	// replaced
	updates bool

	writeMu sync.Mutex
	write   *nftables.Conn
	allow   []netip.Prefix
	feeds   []string // changed under both locks

	readMu sync.Mutex
	read   *nftables.Conn

	dumps *dumper // of whole sets

	group   uint16        // of NFLOG
	support SensorSupport // as probed
	ended   atomic.Bool   // the sensor, by EndSensor
	layouts atomic.Uint64 // how often the rules were laid out or taken away, or may have been
	netns   int
	watchMu sync.Mutex
	watch   *nftables.Conn // for the watched alone; nil: there is no sensor
	refused *dumper        // of refusals; nil as watch

	limiter Limiter        // with its defaults
	limits  LimiterSupport // as probed
	leaseMu sync.Mutex
	lease   *nftables.Conn // for the limiter's sets alone; nil: there is no limiter
	limited *dumper        // of who is limited; nil as lease

	denyMu    sync.Mutex
	lists     *nftables.Conn // for the deny sets alone: their long transactions make nobody wait
	listDumps *dumper        // of the deny sets

	monitor *netlink.Conn
	closed  atomic.Bool
}

// Open validates the options, opens all netlink connections that the Table will ever need, and
// probes the kernel. It changes no ruleset but for a scratch table that is gone when it returns.
//
// Errors to branch on: ErrPermission, ErrUnsupported.
func Open(o Options) (*Table, error) {
	o = withDefaults(o)
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("open firewall: %w", err)
	}

	t := &Table{
		table: &nftables.Table{Name: o.Table, Family: nftables.TableFamilyINet},
		sets:  banSets(), ports: o.Ports, poll: o.Poll, now: time.Now, netns: o.NetNS,
		allow: slices.Clone(o.Allow), feeds: slices.Clone(o.Feeds),
	}
	for _, s := range t.sets {
		t.ksets = append(t.ksets, s.kernelSet(t.table, o.MaxBans))
	}

	// Close what is open already if a later step fails.
	if err := t.dial(o); err != nil {
		return nil, errors.Join(fmt.Errorf("open firewall: %w", err), t.Close())
	}
	var err error
	t.updates, err = probeUpdates(t.write)
	if err == nil && o.Sensor != nil {
		err = t.openSensor(o)
	}
	if err == nil && o.Limiter != nil {
		err = t.openLimiter(*o.Limiter)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open firewall: %w", err), t.Close())
	}

	return t, nil
}

func (t *Table) dial(o Options) (err error) {
	netns := o.NetNS
	if t.write, err = dial(netns); err != nil {
		return err
	}
	if t.read, err = dial(netns); err != nil {
		return err
	}
	if t.lists, err = dial(netns); err != nil {
		return err
	}
	if o.Sensor != nil {
		if t.watch, err = dial(netns); err != nil {
			return err
		}
		if t.refused, err = dialDumper(netns); err != nil {
			return err
		}
	}
	if o.Limiter != nil {
		if t.lease, err = dial(netns); err != nil {
			return err
		}
		if t.limited, err = dialDumper(netns); err != nil {
			return err
		}
	}
	if t.dumps, err = dialDumper(netns); err != nil {
		return err
	}
	if t.listDumps, err = dialDumper(netns); err != nil {
		return err
	}

	own, err := t.ownPorts()
	if err != nil {
		return err
	}
	t.monitor, err = dialMonitor(netns, own)

	return err
}

// openSensor finds out what the kernel can do for the sensor.
func (t *Table) openSensor(o Options) error {
	t.group = o.Sensor.Group
	if t.group == 0 {
		t.group = DefaultGroup
	}
	return t.probeSensor()
}

func (t *Table) ownPorts() ([]uint32, error) {
	var ports []uint32
	for _, c := range []*nftables.Conn{t.write, t.lists, t.watch, t.lease} {
		if c == nil {
			continue
		}
		port, err := c.GetPortID()
		if err != nil {
			return nil, fmt.Errorf("get netlink port: %w", err)
		}
		ports = append(ports, port)
	}

	return ports, nil
}

func withDefaults(o Options) Options {
	if o.Table == "" {
		o.Table = "amifend"
	}
	o.Ports = o.Ports.withDefaults()
	if o.MaxBans == 0 {
		o.MaxBans = DefaultMaxBans
	}

	if o.Poll == 0 {
		o.Poll = 5 * time.Second
	}
	return o
}

// tableName matches the identifiers of nft(8), as short as the abstract socket of Lock demands.
var tableName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`)

func (o Options) validate() error {
	var problems []error
	if !tableName.MatchString(o.Table) {
		problems = append(problems,
			fmt.Errorf("table name %q: want a letter, then up to 63 letters, digits, _ . or -",
				o.Table))
	}
	if o.MaxBans < 1 || o.MaxBans > 1<<24 {
		problems = append(problems, fmt.Errorf("max bans %d: want 1 to %d", o.MaxBans, 1<<24))
	}

	if o.Poll < 0 {
		problems = append(problems, fmt.Errorf("poll interval %s is negative", o.Poll))
	}
	_, _, err := intervals(o.Allow)
	if err != nil {
		err = fmt.Errorf("allowlist: %w", err)
	}
	return errors.Join(append(problems, o.Ports.validate(), err, checkFeeds(o.Feeds))...)
}

// Close closes the connections. The table, and the bans in it, stay in the kernel.
func (t *Table) Close() error {
	t.writeMu.Lock()
	defer t.writeMu.Unlock()
	t.readMu.Lock()
	defer t.readMu.Unlock()

	if t.closed.Swap(true) {
		return nil
	}
	t.denyMu.Lock() // a SetDeny that runs ends after its transaction
	defer t.denyMu.Unlock()
	t.watchMu.Lock()
	defer t.watchMu.Unlock()
	t.leaseMu.Lock()
	defer t.leaseMu.Unlock()

	var errs []error
	for _, c := range []*nftables.Conn{t.write, t.read, t.lists, t.watch, t.lease} {
		if c != nil {
			errs = append(errs, c.CloseLasting())
		}
	}

	errs = append(errs, t.dumps.close(), t.listDumps.close(), t.refused.close(), t.limited.close())
	if t.monitor != nil {
		errs = append(errs, t.monitor.Close())
	}
	return errors.Join(errs...)
}

// lockWrite and lockRead give the caller a connection of its own, as the library hangs when Flush
// and reads share one. Both hold the lock on success only. (A closed library connection would
// quietly open new ones.)
func (t *Table) lockWrite(ctx context.Context) error { return t.lock(ctx, &t.writeMu) }

func (t *Table) lockRead(ctx context.Context) error { return t.lock(ctx, &t.readMu) }

func (t *Table) lock(ctx context.Context, mu *sync.Mutex) error {
	mu.Lock()
	err := ctx.Err()
	if t.closed.Load() {
		err = ErrClosed
	}
	if err != nil {
		mu.Unlock()
	}

	return err
}
