package pbxconf

import (
	"fmt"
	"strings"
)

// pjsip takes what a section of pjsip.conf says of others' addresses (res_pjsip's documentation:
// identify, registration, aor, endpoint).
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

// wizard takes a section of pjsip_wizard.conf: its own options, and those that it hands on as
// TYPE/OPTION.
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
			"aor/contact", "aor/outbound_proxy",
			"endpoint/outbound_proxy":
			f.uris(v.value, where)
		}
	}
}

// sip takes a section of chan_sip's sip.conf.
func (f *finder) sip(s *section) {
	general := strings.EqualFold(s.name, "general")
	for _, v := range s.vars {
		if v.name == "register" && general {
			host, ok := registerHost(v.value)
			if !ok { // the line holds a password, so it is not shown
				f.problems = append(f.problems, Problem{at(v, s, "register"), "names no host"})
				continue
			}

			if f.peers[host] {
				// it names a peer, whose own section tells the host (chan_sip.c 16.28.0,
				// transmit_register)
				continue
			}

			f.host(host, at(v, s, "register"))
		}
	}

	if host := s.staticHost(); host != "" && (s.isPeer() || s.kind() == "user") {
		v, _ := s.last("host")
		f.host(host, at(v, s, "host"))
	}

	if v, ok := s.last("outboundproxy"); ok && (s.isPeer() || s.kind() == "user" || general) {
		f.host(proxyHost(v.value), at(v, s, "outboundproxy"))
	}
}

// isPeer tells whether a section of sip.conf is one of those that calls can be sent to.
func (s *section) isPeer() bool { return s.kind() == "peer" || s.kind() == "friend" }

// staticHost is the host of a section of sip.conf, "" for one that registers itself.
func (s *section) staticHost() string {
	v, _ := s.last("host")
	if strings.EqualFold(v.value, "dynamic") {
		return ""
	}
	return v.value
}

func at(v variable, s *section, what string) string {
	return fmt.Sprintf("%s [%s] %s", v.where, s.name, what)
}

// realtime looks for what Asterisk reads from a database instead.
func (f *finder) realtime(dir string) {
	note := func(v variable, command string) {
		f.problems = append(f.problems, Problem{v.where, fmt.Sprintf(
			"%s comes from a database (realtime), which is not read; to see its trunks run: "+
				"asterisk -rx %q", v.name, command)})
	}

	sections, _, err := readConfig(dir, "sorcery.conf")
	if err == nil {
		for _, s := range sections {
			for _, v := range s.vars {
				object, _, _ := strings.Cut(v.name, "/") // OBJECT/cache is only a cache
				wanted := map[string]string{
					"identify":     "pjsip show identifies",
					"registration": "pjsip show registrations",
				}
				if command, ok := wanted[object]; ok &&
					strings.HasPrefix(strings.ToLower(v.value), "realtime") {
					note(v, command)
				}
			}
		}
	}

	if sections, _, err = readConfig(dir, "extconfig.conf"); err == nil {
		for _, s := range sections {
			for _, v := range s.vars {
				if v.name == "sippeers" {
					note(v, "sip show peers")
				}
			}
		}
	}
}
