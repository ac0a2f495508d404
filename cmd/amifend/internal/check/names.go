package check

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
)

// Bounds of lookups.
const (
	lookupTime = 5 * time.Second // for all names of trunks together
	maxLookups = 16              // at the same time
	maxTargets = 16              // from the SRV records of a name
)

// services are the SRV records with which Asterisk finds more addresses of a name: those of
// identify's srv_lookups (res_pjsip_endpoint_identifier_ip.c, ip_identify_match_srv_lookup), which
// an outbound registration (RFC 3263) and chan_sip's srvlookup use as well. All three do so unless
// told not to.
var services = []struct{ service, proto string }{{"sip", "udp"}, {"sip", "tcp"}, {"sips", "tcp"}}

// resolved is the answer of DNS for a name.
type resolved struct {
	names []string     // that have the addresses: the name itself, and those of its SRV records
	addrs []netip.Addr // of all names, sorted, each once
}

// resolve looks up names, several at a time. It leaves out names without addresses.
func (o Options) resolve(ctx context.Context, hosts []string) map[string]resolved {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()

	found := make([]resolved, len(hosts))
	var g errgroup.Group
	g.SetLimit(maxLookups)

	for i, host := range hosts {
		g.Go(func() error {
			found[i] = o.resolveOne(ctx, host)
			return nil
		})
	}

	_ = g.Wait() // the functions return no error
	out := map[string]resolved{}
	for i, host := range hosts {
		if len(found[i].addrs) > 0 {
			out[host] = found[i]
		}
	}

	return out
}

// resolveOne looks up a name and the names of its SRV records.
func (o Options) resolveOne(ctx context.Context, host string) (r resolved) {
	for _, name := range append([]string{host}, o.targets(ctx, host)...) {
		addrs, err := o.Lookup(ctx, name)
		if err != nil || len(addrs) == 0 {
			continue // the caller reports a name without addresses
		}

		r.names = append(r.names, name)
		for _, a := range addrs {
			r.addrs = append(r.addrs, a.Unmap().WithZone(""))
		}
	}

	slices.SortFunc(r.addrs, netip.Addr.Compare)
	r.addrs = slices.Compact(r.addrs)
	return r
}

// targets returns the names of a name's SRV records.
func (o Options) targets(ctx context.Context, host string) (names []string) {
	for _, s := range services {
		// Some records may come with an error. Most names have none.
		records, _ := o.LookupSRV(ctx, s.service, s.proto, host)
		for _, r := range records {
			name := strings.TrimSuffix(r.Target, ".")
			if name != "" && name != host && !slices.Contains(names, name) &&
				len(names) < maxTargets {
				names = append(names, name)
			}
		}
	}

	return names
}

// lookupSRV asks the system's resolver.
func lookupSRV(ctx context.Context, service, proto, name string) ([]*net.SRV, error) {
	_, records, err := net.DefaultResolver.LookupSRV(ctx, service, proto, name)
	return records, err
}

// followed reports whether amifend follows all names of a trunk.
func followed(r resolved, names []string) bool {
	return len(r.names) > 0 && !slices.ContainsFunc(r.names, func(name string) bool {
		return !slices.Contains(names, strings.ToLower(name))
	})
}

// TrunkNames returns the names behind trunks that [allow] names can hold, sorted: those of the trunks
// and those of their SRV records. It looks only at Lookup and LookupSRV of the options.
func TrunkNames(ctx context.Context, o Options, trunks []pbxconf.Trunk) []string {
	found := o.withDefaults().resolve(ctx, hosts(trunks))

	// A name without an address now may have one later, and is followed from then on.
	for _, host := range hosts(trunks) {
		if len(found[host].names) == 0 {
			found[host] = resolved{names: []string{host}}
		}
	}

	return follow(trunks, found, nil)
}

// follow returns the names behind trunks that [allow] names could hold and does not.
func follow(trunks []pbxconf.Trunk, found map[string]resolved, have []string) (names []string) {
	for _, t := range trunks {
		for _, name := range found[t.Host].names {
			name, err := config.ParseName(name)
			if err == nil && !slices.Contains(have, name) {
				names = append(names, name)
			}
		}
	}

	slices.Sort(names)
	return slices.Compact(names)
}
