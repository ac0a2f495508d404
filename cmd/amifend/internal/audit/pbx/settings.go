package pbx

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
)

// exists reports whether a folder has a file.
func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// sorted returns the contexts of a dialplan by their names.
func sorted(d dialplan) iter.Seq2[string, *dialContext] {
	return func(yield func(string, *dialContext) bool) {
		for _, name := range slices.Sorted(maps.Keys(d)) {
			if !yield(name, d[name]) {
				return
			}
		}
	}
}

// manager judges manager.conf.
func (l *looker) manager() {
	if !l.has("manager.conf") {
		return
	}
	general := l.general("manager.conf")
	enabled := isYes(general.Value("enabled"))
	ami, err := pbxconf.ReadAMI(l.dir)
	if err != nil {
		l.problem(err.Error())
		return
	}

	plain := ami.Plain.Addr().Unmap()
	if enabled && ami.Plain.Port() != 0 {
		switch {
		case plain.IsUnspecified():
			l.add("manager_everywhere", "manager.conf: %s", ami.Plain)
		case !plain.IsLoopback():
			l.add("manager_without_tls", "manager.conf: %s", ami.Plain)
		}
	}
	if ami.TLS.IsValid() && weakCipher(general.Value("tlscipher")) {
		l.add("tls_weak", "manager.conf [general]")
	}

	// A user that only this machine can be is restricted enough.
	for _, s := range l.sections("manager.conf") {
		if s.Is("general") {
			continue
		}
		l.secret(s.Name(), at(s), managerUser, s, "secret")
		local := plain.IsLoopback() && !ami.TLS.IsValid()
		if enabled && !local && !restricts(s, "") {
			l.add("manager_acl", "%s", at(s))
		}
		if classes := secretClasses(s.Value("write")); enabled && len(classes) > 0 {
			l.add("manager_rights", "%s: write = %s", at(s), strings.Join(classes, ","))
		}
	}

	// The shortcuts to other people's call records.
	for _, name := range []string{"cdr_manager.conf", "cel_manager.conf"} {
		module := strings.TrimSuffix(name, ".conf")
		v, ok := l.general(name).Last("enabled")
		if !ok {
			v, ok = l.general(name).Last("enable")
		}
		if ok && v.IsTrue() && l.modules.Loaded(module) {
			l.add("call_events", "%s", v.Where())
		}
	}
}

// secretClasses returns the classes of a manager user's write that show passwords (measured on
// Asterisk 16 and 22: Getvar with AST_CONFIG or AST_SORCERY, GetConfig, PJSIPShowAuths) or run
// programs.
func secretClasses(write string) (found []string) {
	for _, class := range list(strings.ToLower(write)) {
		switch class {
		case "all", "call", "command", "config", "originate", "reporting", "system":
			found = append(found, class)
		}
	}
	return found
}

// settings judges asterisk.conf, rtp.conf and http.conf.
func (l *looker) settings() {
	for _, s := range l.sections("asterisk.conf") {
		if !s.Is("options") {
			continue
		}
		if v, ok := s.Last("live_dangerously"); ok && v.IsTrue() {
			l.add("live_dangerously", "%s", v.Where())
		}
	}

	// The options may be in several sections, and the file may be missing in a copy.
	if l.has("asterisk.conf") && !l.limitsCalls() {
		l.add("maxcalls", "asterisk.conf [options]")
	}

	if v, ok := l.general("rtp.conf").Last("strictrtp"); ok && !v.IsTrue() &&
		!strings.EqualFold(v.Value(), "seqno") {
		l.add("strict_rtp", "%s", v.Where())
	}
	l.http()
}

// limitsCalls reports whether asterisk.conf limits the number of calls.
func (l *looker) limitsCalls() bool {
	return slices.ContainsFunc(l.sections("asterisk.conf"), func(s pbxconf.Section) bool {
		return s.Is("options") && positive(s.Value("maxcalls"))
	})
}

// http judges http.conf.
func (l *looker) http() {
	general := l.general("http.conf")
	if isYes(general.Value("enabled")) && !isLocal(general.Value("bindaddr")) {
		l.add("http_plain", "http.conf [general] bindaddr = %s", general.Value("bindaddr"))
	}
	if v, ok := general.Last("enable_status"); ok && v.IsTrue() {
		l.add("http_status_on", "%s", v.Where())
	}

	// TLS 1.0 is off by default (http.conf.sample of Asterisk 22), TLS 1.1 is not.
	if !isYes(general.Value("tlsenable")) {
		return
	}
	v, set := general.Last("tlsdisablev1")
	if weakCipher(general.Value("tlscipher")) || set && !v.IsTrue() {
		l.add("tls_weak", "http.conf [general]")
	}
}

// isLocal reports whether only this machine reaches an address. Without one, Asterisk's HTTP server
// listens on all.
func isLocal(bind string) bool {
	if ap, err := netip.ParseAddrPort(bind); err == nil {
		return ap.Addr().Unmap().IsLoopback()
	}
	a, err := netip.ParseAddr(strings.Trim(bind, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}

// mostFiles bounds the files whose rights are looked at.
const mostFiles = 5000

// rights judges who may read and write the files, unless nobody else gets to the folder.
func (l *looker) rights() {
	dir, err := filepath.Abs(l.dir)
	if err != nil {
		return
	}
	for above := dir; ; above = filepath.Dir(above) {
		if st, err := os.Stat(above); err != nil || st.Mode().Perm()&0o001 == 0 {
			return
		}
		if above == filepath.Dir(above) {
			break
		}
	}

	left := mostFiles
	l.folderRights(dir, "", &left)
}

// folderRights judges the files of a folder and of its folders.
func (l *looker) folderRights(dir, prefix string, left *int) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		l.problem(fmt.Sprintf("%s: the rights of its files are not known: %s", first(prefix, "the folder"),
			cause(err)))
		return
	}

	for _, e := range entries {
		if *left--; *left < 0 {
			l.problem(fmt.Sprintf("the rights of more than %d files are not looked at", mostFiles))
			return
		}

		// A link counts as what it leads to.
		name := filepath.Join(prefix, e.Name())
		st, err := os.Stat(filepath.Join(dir, e.Name()))
		switch {
		case err != nil:
		case st.IsDir() && strings.Count(name, "/") < 2 && e.Type()&os.ModeSymlink == 0:
			l.folderRights(filepath.Join(dir, e.Name()), name, left)
		case !st.Mode().IsRegular():
		case st.Mode().Perm()&0o002 != 0:
			l.add("file_rights", "%s: everybody may write it", name)
		case st.Mode().Perm()&0o004 != 0 && holdsSecrets(e.Name()):
			l.add("file_rights", "%s: everybody may read it", name)
		}
	}
}

// holdsSecrets reports whether files of such a name usually hold passwords.
func holdsSecrets(name string) bool {
	for _, start := range []string{
		"pjsip", "sip", "iax", "users", "manager", "voicemail", "ari", "res_odbc", "res_pgsql",
		"res_config",
	} {
		if strings.HasPrefix(name, start) && strings.HasSuffix(name, ".conf") {
			return true
		}
	}
	ext := filepath.Ext(name)
	return ext == ".key"
}
