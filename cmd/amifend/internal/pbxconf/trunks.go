package pbxconf

import "strings"

// pjsip adds the trunks of a section of pjsip.conf (documentation of res_pjsip: identify,
// registration, aor, endpoint).
func (f *finder) pjsip(s *section) {
	kind := s.kind()
	for _, v := range s.vars {
		where := at(v, s, "type="+kind+" "+v.name)
		switch kind + " " + v.name {
		case "identify match":
			f.hosts(v.value, where)
		case "registration server_uri", "registration outbound_proxy", "aor contact",
			"aor outbound_proxy", "endpoint outbound_proxy":
			f.uris(v.value, where)
		}
	}
}

// wizard adds the trunks of a section of pjsip_wizard.conf: from its own options, and from those
// that it passes on as TYPE/OPTION.
func (f *finder) wizard(s *section) {
	if s.kind() != "wizard" {
		return
	}

	for _, v := range s.vars {
		where := at(v, s, "type=wizard "+v.name)
		switch v.name {
		case "remote_hosts", "identify/match":
			f.hosts(v.value, where)
		case "outbound_proxy", "registration/server_uri", "registration/outbound_proxy",
			"aor/contact", "aor/outbound_proxy", "endpoint/outbound_proxy":
			f.uris(v.value, where)
		}
	}
}

// sip adds the trunks of a section of chan_sip's sip.conf.
func (f *finder) sip(s *section) {
	general := strings.EqualFold(s.name, "general")
	for _, v := range s.vars {
		if v.name != "register" || !general {
			continue
		}

		host, ok := registerHost(v.value)
		if !ok { // the line holds a password, so it is not shown
			f.Problems = append(f.Problems, Problem{at(v, s, "register"), "names no host"})
			continue
		}

		// A line may name a peer, whose own section has the host (chan_sip.c 16.28.0,
		// transmit_register).
		if f.peers[host] {
			continue
		}

		f.host(host, at(v, s, "register"))
	}

	if host := s.staticHost(); host != "" && (s.isPeer() || s.kind() == "user") {
		v, _ := s.last("host")
		f.host(host, at(v, s, "host"))
	}

	if v, ok := s.last("outboundproxy"); ok && (s.isPeer() || s.kind() == "user" || general) {
		f.host(proxyHost(v.value), at(v, s, "outboundproxy"))
	}
}

// iax adds the trunks of a section of chan_iax2's iax.conf: peers with a static host, and
// registrations.
func (f *finder) iax(s *section) {
	for _, v := range s.vars {
		if v.name != "register" || !strings.EqualFold(s.name, "general") {
			continue
		}

		host, ok := iaxRegisterHost(v.value)
		if !ok { // the line holds a password, so it is not shown
			f.Problems = append(f.Problems, Problem{at(v, s, "register"), "names no host"})
			continue
		}

		f.host(host, at(v, s, "register"))
	}

	// A section of type=user only calls in, from any address.
	if !s.isPeer() {
		return
	}

	if host := s.staticHost(); host != "" {
		v, _ := s.last("host")
		f.host(host, at(v, s, "host"))
	}
}

// staticPeers returns the names of the sections of sip.conf: true for a peer with a host.
func staticPeers(sections []*section) map[string]bool {
	peers := map[string]bool{}
	for _, s := range sections {
		peers[s.name] = peers[s.name] || s.isPeer() && s.staticHost() != ""
	}
	return peers
}

// isPeer reports whether calls can be sent to a section of sip.conf or iax.conf.
func (s *section) isPeer() bool { return s.kind() == "peer" || s.kind() == "friend" }

// staticHost returns the host of a section of sip.conf or iax.conf, or "" for one that registers
// itself.
func (s *section) staticHost() string {
	v, _ := s.last("host")
	if strings.EqualFold(v.value, "dynamic") {
		return ""
	}
	return v.value
}
