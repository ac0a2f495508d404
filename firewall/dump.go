package firewall

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// maxDumps bounds the tries to get a dump during which nothing changed.
const maxDumps = 5

// dumper reads whole sets. It has a connection of its own, so that a long walk makes no other reader
// wait. It reads each message of the kernel into one buffer and keeps no copy of it: the library
// would need some 400 bytes for each element.
type dumper struct {
	mu   sync.Mutex
	conn *netlink.Conn
	buf  []byte
	most int // elements that were read last
}

// dialDumper opens a dumper.
func dialDumper(netns int) (*dumper, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, kernelError("open netlink connection", err)
	}
	if err := prepare(c); err != nil {
		return nil, err
	}
	return &dumper{conn: c, buf: make([]byte, dumpChunk)}, nil
}

// errCut is the error of an answer whose lengths are wrong.
var errCut = errors.New("the kernel's answer is cut short")

// ask sends a request, and calls visit with the payload of each message of the answer. The payload
// is valid until visit returns.
func (d *dumper) ask(kind uint16, flags netlink.HeaderFlags, attrs []byte, visit func([]byte) error) error {
	sent, err := d.conn.Send(netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind),
			Flags: netlink.Request | flags,
		},
		Data: append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
	if err != nil {
		return err
	}

	// An error of visit does not end the answer: what is left of it would be taken for the next one.
	var failed error
	for {
		answer, err := receive(d.conn, d.buf)
		if err != nil {
			return err
		}
		for h, data := range messages(answer) {
			switch {
			case h.Sequence != sent.Header.Sequence: // left of an answer before
				continue
			case h.Type == netlink.Error || h.Type == netlink.Done:
				return errors.Join(failed, errno(data))
			case failed == nil:
				failed = visit(data)
			}
			if flags&netlink.Dump == 0 {
				return failed
			}
		}
	}
}

// receive returns the next datagram, which lies in buf.
func receive(c *netlink.Conn, buf []byte) ([]byte, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}

	var n int
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		n, _, failed = unix.Recvfrom(int(fd), buf, 0)
		return failed != unix.EAGAIN && failed != unix.EINTR
	})
	return buf[:max(n, 0)], errors.Join(err, failed)
}

// messages returns the messages of a datagram: header and payload.
func messages(b []byte) iter.Seq2[netlink.Header, []byte] {
	return func(yield func(netlink.Header, []byte) bool) {
		const header, align = unix.SizeofNlMsghdr, unix.NLMSG_ALIGNTO - 1
		for len(b) >= header {
			h := netlink.Header{
				Length:   binary.NativeEndian.Uint32(b),
				Type:     netlink.HeaderType(binary.NativeEndian.Uint16(b[4:])),
				Sequence: binary.NativeEndian.Uint32(b[8:]),
			}
			n := int(h.Length)
			if n < header || n > len(b) || !yield(h, b[header:n]) {
				return
			}
			b = b[min(len(b), (n+align)&^align):]
		}
	}
}

// errno returns the error in the payload of a last message; nil if there is none.
func errno(data []byte) error {
	if len(data) < 4 {
		return nil
	}
	if n := int32(binary.NativeEndian.Uint32(data)); n != 0 {
		return unix.Errno(-n)
	}
	return nil
}

// attributes returns the attributes of a message or of an attribute: type and value.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		const header, align = unix.SizeofRtAttr, unix.RTA_ALIGNTO - 1
		for len(b) >= header {
			n := int(binary.NativeEndian.Uint16(b))
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if n < header || n > len(b) || !yield(kind, b[header:n]) {
				return
			}
			b = b[min(len(b), (n+align)&^align):]
		}
	}
}

// attribute returns the value of an attribute that is nested in others; nil if there is none.
func attribute(b []byte, path ...uint16) []byte {
	for _, want := range path {
		var found []byte
		for kind, value := range attributes(b) {
			if kind == want {
				found = value
				break
			}
		}
		if b = found; b == nil {
			return nil
		}
	}
	return b
}

// number returns a number in the kernel's order of attributes; 0 if there is none.
func number(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// countedPackets returns how many packets an element of a set with a counter has counted. Our sets have
// one expression: the counter.
func countedPackets(attrs []byte) uint64 {
	return number(attribute(attrs, unix.NFTA_SET_ELEM_EXPR, unix.NFTA_EXPR_DATA,
		unix.NFTA_COUNTER_PACKETS))
}

// generation returns the number of the ruleset's latest transaction.
func (d *dumper) generation() (gen uint32, err error) {
	err = d.ask(unix.NFT_MSG_GETGEN, 0, nil, func(data []byte) error {
		const nfgenmsg = 4
		if len(data) < nfgenmsg {
			return errCut
		}
		id := attribute(data[nfgenmsg:], unix.NFTA_GEN_ID)
		if len(id) < 4 {
			return errCut
		}
		gen = binary.BigEndian.Uint32(id)
		return nil
	})
	return gen, err
}

// each calls visit with the attributes of each element of a set, as one walk of the kernel finds them.
// They are valid until visit returns. After an error of visit, it is not called again. The caller holds
// the lock.
func (d *dumper) each(table, set string, visit func(attrs []byte) error) error {
	request, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_SET_ELEM_LIST_TABLE, Data: []byte(table + "\x00")},
		{Type: unix.NFTA_SET_ELEM_LIST_SET, Data: []byte(set + "\x00")},
	})
	if err != nil {
		return err
	}

	return d.ask(unix.NFT_MSG_GETSETELEM, netlink.Dump, request, func(data []byte) error {
		const nfgenmsg = 4
		if len(data) < nfgenmsg {
			return errCut
		}
		for _, one := range attributes(attribute(data[nfgenmsg:], unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			if err := visit(one); err != nil {
				return err
			}
		}
		return nil
	})
}

// elements appends the elements of a set to a list, as one walk of the kernel finds them.
func (d *dumper) elements(e *Elements, table string, set int) error {
	return d.each(table, e.sets[set].name, func(attrs []byte) error {
		p, err := e.sets[set].unpack(attrs)
		if err != nil {
			return err
		}
		p.set = uint8(set)
		e.all = append(e.all, p)
		return nil
	})
}

// end is an element of a set of intervals: the first address of one, or the address behind its last.
type end struct {
	addr  [16]byte // of IPv4, its IPv4-mapped form
	is6   bool
	isEnd bool
}

// ends returns the elements of a set of intervals, in the order of the kernel: 18 bytes for each. The
// library needs hundreds. It reports whether each is an address: nft(8), for one, adds elements that
// stand for all others.
func (d *dumper) ends(table string, set *nftables.Set) (all []end, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()

	ok = true
	err = d.each(table, set.Name, func(attrs []byte) error {
		key := attribute(attrs, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE)
		addr, isAddr := netip.AddrFromSlice(key)
		if ok = ok && isAddr; !ok {
			return nil
		}

		flags := attribute(attrs, unix.NFTA_SET_ELEM_FLAGS)
		isEnd := len(flags) >= 4 && binary.BigEndian.Uint32(flags)&unix.NFT_SET_ELEM_INTERVAL_END != 0
		all = append(all, end{addr: addr.As16(), is6: addr.Is6(), isEnd: isEnd})
		return nil
	})
	return all, ok, err
}

// unpack reads an element of a dump.
func (s banSet) unpack(attrs []byte) (p packed, err error) {
	key := 0
	for kind, value := range attributes(attrs) {
		switch kind {
		case unix.NFTA_SET_ELEM_KEY:
			addr, _ := netip.AddrFromSlice(attribute(value, unix.NFTA_DATA_VALUE))
			if key = addr.BitLen() / 8; key > 0 {
				p.addr = addr.As16()
			}
		case unix.NFTA_SET_ELEM_TIMEOUT:
			p.timeout = time.Duration(number(value)) * time.Millisecond
		case unix.NFTA_SET_ELEM_EXPIRATION:
			p.expires = time.Duration(number(value)) * time.Millisecond
		case unix.NFTA_SET_ELEM_EXPR:
			// Our sets have one expression: the counter.
			counter := attribute(value, unix.NFTA_EXPR_DATA)
			packets := attribute(counter, unix.NFTA_COUNTER_PACKETS)
			p.counted = packets != nil
			p.packets = number(packets)
			p.bytes = number(attribute(counter, unix.NFTA_COUNTER_BYTES))
		}
	}

	if want := map[bool]int{false: 4, true: 16}[s.is6]; key != want {
		return packed{}, fmt.Errorf("set %s: element with a key of %d bytes", s.name, key)
	}
	return p, nil
}

// Elements reads back all elements of all ban sets. The kernel walks a set in many steps, and misses
// elements when the set changes meanwhile; then Elements walks it again. An element that expires
// during a walk can still hide another one. The hidden ban holds all the same, and the next call
// returns it.
//
// Error to branch on: ErrGone.
func (t *Table) Elements(ctx context.Context) (*Elements, error) {
	if err := t.lock(ctx, &t.dumps.mu); err != nil {
		return nil, fmt.Errorf("read bans: %w", err)
	}
	defer t.dumps.mu.Unlock()

	// As much room as last time, and some more, keeps the list from being copied as it grows.
	e := &Elements{sets: t.sets, all: make([]packed, 0, t.dumps.most+t.dumps.most/16)}
	for set := range t.sets {
		if err := t.walk(ctx, e, set); err != nil {
			return nil, readError("read bans", err)
		}
	}
	t.dumps.most = len(e.all)
	return e, nil
}

// walk reads a set until the walk was undisturbed. Two things disturb it: a transaction, which
// changes the generation; and a hash table that grows, which changes its order. The kernel stops
// after as many elements as there are, so for each element that it misses it reports another one
// twice.
func (t *Table) walk(ctx context.Context, e *Elements, set int) error {
	from := len(e.all)
	for range maxDumps {
		if err := ctx.Err(); err != nil {
			return err
		}
		before, err := t.dumps.generation()
		if err != nil {
			return err
		}

		e.all = e.all[:from]
		if err := t.dumps.elements(e, t.table.Name, set); err != nil {
			return err
		}
		read := len(e.all)
		e.sort(from)

		// No transaction came in between, and no duplicate shows that the table grew.
		after, err := t.dumps.generation()
		if err != nil {
			return err
		}
		if after == before && len(e.all) == read {
			break
		}
	}

	return nil
}

// close closes the connection.
func (d *dumper) close() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conn.Close()
}
