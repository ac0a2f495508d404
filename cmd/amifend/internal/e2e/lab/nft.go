package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Element is one element of an nftables set, as `nft -j` lists it.
type Element struct {
	Set     string
	Prefix  netip.Prefix // of a host: of one address
	Timeout time.Duration
	Expires time.Duration
	Packets uint64
	Bytes   uint64
}

// Elements lists the elements of all sets of a table in a namespace; none if there is no table.
func (l *Lab) Elements(ctx context.Context, who Who, table string) ([]Element, error) {
	out, err := l.Exec(ctx, who, "nft", "-j", "list", "ruleset", "inet")
	if err != nil {
		return nil, err
	}
	elems, err := parseRuleset([]byte(out), table)
	if err != nil {
		return nil, fmt.Errorf("read nft's answer: %w", err)
	}
	return elems, nil
}

// parseRuleset reads nft's JSON (libnftables-json(5)).
func parseRuleset(b []byte, table string) ([]Element, error) {
	var doc struct {
		Nftables []struct {
			Set *struct {
				Name, Table string
				Elem        []json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, err
	}

	// The list has objects of every kind and of every table of the family.
	var out []Element
	for _, obj := range doc.Nftables {
		if obj.Set == nil || obj.Set.Table != table {
			continue
		}
		for _, raw := range obj.Set.Elem {
			e, ok, err := parseElement(raw)
			if err != nil {
				return nil, fmt.Errorf("set %s: %w", obj.Set.Name, err)
			}
			if ok {
				e.Set = obj.Set.Name
				e.Prefix = setPrefix(e.Set, e.Prefix)
				out = append(out, e)
			}
		}
	}
	return out, nil
}

// setPrefix returns the prefix that an element of a set stands for. A set of banned prefixes holds
// their first addresses, and their length is in its name: 64 in ban6_64_sip.
func setPrefix(set string, p netip.Prefix) netip.Prefix {
	_, rest, _ := strings.Cut(set, "_")
	length, _, _ := strings.Cut(rest, "_")
	bits, err := strconv.Atoi(length)
	if err != nil || !strings.HasPrefix(set, "ban") {
		return p // a set of hosts, or of prefixes as they are
	}
	return netip.PrefixFrom(p.Addr(), bits)
}

// parseElement reads an address or a prefix, with or without its timeout and counter. It reports
// false for other elements (a service, an interface, a range): they are no bans.
func parseElement(raw json.RawMessage) (Element, bool, error) {
	var full struct {
		Elem *struct {
			Val              json.RawMessage
			Timeout, Expires int64 // seconds
			Counter          struct{ Packets, Bytes uint64 }
		}
	}
	var e Element
	if raw[0] == '{' {
		if err := json.Unmarshal(raw, &full); err != nil {
			return e, false, err
		}
	}

	// An element that has more than its value is an object around the value.
	if full.Elem != nil {
		raw = full.Elem.Val
		e.Timeout = time.Duration(full.Elem.Timeout) * time.Second
		e.Expires = time.Duration(full.Elem.Expires) * time.Second
		e.Packets, e.Bytes = full.Elem.Counter.Packets, full.Elem.Counter.Bytes
	}

	prefix, ok := parseValue(raw)
	e.Prefix = prefix
	return e, ok, nil
}

// parseValue reads the value of an element, if it is an address or a prefix.
func parseValue(raw json.RawMessage) (netip.Prefix, bool) {
	var host string
	if json.Unmarshal(raw, &host) == nil {
		a, err := netip.ParseAddr(host)
		if err != nil {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(a, a.BitLen()), true
	}

	// A set of the kind interval has prefixes, as objects.
	var p struct {
		Prefix *struct {
			Addr string
			Len  int
		}
	}
	if json.Unmarshal(raw, &p) != nil || p.Prefix == nil {
		return netip.Prefix{}, false
	}
	a, err := netip.ParseAddr(p.Prefix.Addr)
	if err != nil {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, p.Prefix.Len), true
}
