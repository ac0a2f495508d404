package firewall

import "net/netip"

// SetName returns the name of the set that holds the bans of a prefix's length and a scope, such as
// ban6_64_sip. The key of a prefix in it is the prefix's address. A prefix of a length that cannot
// be banned is an error.
func SetName(prefix netip.Prefix, scope Scope) (string, error) {
	sets := banSets()
	i, err := findSet(sets, Change{Ban: Ban{Prefix: prefix, Scope: scope}, Lift: true})
	if err != nil {
		return "", err
	}
	return sets[i].name, nil
}
