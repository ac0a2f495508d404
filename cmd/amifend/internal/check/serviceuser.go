package check

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
)

// service is the systemd unit that runs amifend, as far as it decides which files can be read.
type service struct {
	user, group string
	groups      []string // supplementary
	configFile  string   // that it runs with
	credentials bool     // systemd passes files to it, which it can read whoever owns them
}

// unitName is the unit's name. An installation with another name is not found, and not tested.
const unitName = "amifend.service"

// defaultConfig is the config file of a unit whose command names none.
const defaultConfig = "/etc/amifend/config.toml"

// unitDirs are the folders of unit files, those that win first (systemd.unit(5)).
func unitDirs() []string {
	return []string{
		"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
		"/usr/lib/systemd/system", "/lib/systemd/system",
	}
}

// findService reads the unit, with its drop-ins, and reports whether there is one that runs as
// another user than root.
func findService(dirs []string) (service, bool) {
	s := service{configFile: defaultConfig}
	found := false
	for _, dir := range dirs {
		if text, err := os.ReadFile(filepath.Join(dir, unitName)); err == nil {
			s.read(string(text))
			found = true
			break
		}
	}

	// Of drop-ins with the same name only the first counts. They apply by name, wherever they are.
	var names []string
	paths := map[string]string{}
	for _, dir := range dirs {
		files, _ := filepath.Glob(filepath.Join(dir, unitName+".d", "*.conf"))
		for _, path := range files {
			if name := filepath.Base(path); paths[name] == "" {
				names = append(names, name)
				paths[name] = path
			}
		}
	}

	// The unit comes first, and drop-ins change it in the order of their names.
	slices.Sort(names)
	for _, name := range names {
		if text, err := os.ReadFile(paths[name]); err == nil {
			s.read(string(text))
		}
	}

	return s, found && s.user != "" && s.user != "root" && s.user != "0"
}

// read takes the keys of a unit file or a drop-in.
func (s *service) read(text string) {
	section := ""
	lines := bufio.NewScanner(strings.NewReader(strings.ReplaceAll(text, "\\\n", " ")))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			section = line
		}

		// Keys of other sections, such as [Unit], may have the same names.
		key, value, ok := strings.Cut(line, "=")
		value = strings.TrimSpace(value)
		if !ok || section != "[Service]" {
			continue
		}

		switch strings.TrimSpace(key) {
		case "User":
			s.user = value

		case "Group":
			s.group = value

		case "SupplementaryGroups":
			s.groups = append(s.groups, strings.Fields(value)...)

		case "LoadCredential", "LoadCredentialEncrypted", "DynamicUser", "RootDirectory":
			s.credentials = s.credentials || value != "" && value != "no"

		case "ExecStart":
			s.command(value)
		}
	}
}

// command takes the config file out of the unit's command.
func (s *service) command(text string) {
	words := strings.Fields(text)
	for i, word := range words {
		if path, ok := strings.CutPrefix(word, "--config="); ok {
			s.configFile = path
		} else if word == "--config" && i+1 < len(words) {
			s.configFile = words[i+1]
		}
	}
}

// ids returns the numbers of the service's user and groups.
func (s *service) ids() (uid, gid int, groups []uint32, err error) {
	u, err := user.Lookup(s.user)
	if err != nil {
		return 0, 0, nil, err
	}

	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, nil, err
	}

	// Group= replaces the primary group of the user.
	primary := u.Gid
	if s.group != "" {
		if primary, err = groupID(s.group); err != nil {
			return 0, 0, nil, err
		}
	}

	if gid, err = strconv.Atoi(primary); err != nil {
		return 0, 0, nil, err
	}

	all, _ := u.GroupIds() // a user without groups has the primary one
	for _, name := range s.groups {
		id, err := groupID(name)
		if err != nil {
			return 0, 0, nil, err
		}
		all = append(all, id)
	}

	// A number that does not fit is a group that does not exist.
	for _, text := range all {
		if id, err := strconv.ParseUint(text, 10, 32); err == nil {
			groups = append(groups, uint32(id))
		}
	}

	return uid, gid, groups, nil
}

// groupID returns the number of a group, given by name or number.
func groupID(name string) (string, error) {
	if _, err := strconv.ParseUint(name, 10, 32); err == nil {
		return name, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

// checkServiceUser tests as the user of the systemd unit whether the service can read the config
// and the files that it names. Root can read them all, which says nothing about the service.
func checkServiceUser(s *section, o Options) {
	dirs := o.UnitDirs
	if dirs == nil {
		dirs = unitDirs()
	}

	path, err := filepath.Abs(o.Path)
	if err != nil || os.Geteuid() != 0 {
		return
	}

	service, ok := findService(dirs)
	if !ok || service.credentials || filepath.Clean(service.configFile) != path {
		return // another config, or one that systemd passes on
	}

	// A missing user keeps the service from starting at all.
	uid, gid, groups, err := service.ids()
	if err != nil {
		s.fail("make the user: systemd-sysusers (examples/systemd/sysusers.conf)",
			"%s runs as user %s, which does not exist here: %s", unitName, service.user, err)
		return
	}

	loadErr := asUser(uid, gid, groups, func() error {
		_, err := config.Load(path)
		return err
	})

	// Whatever fails here works for root, so it is a matter of rights.
	var problems *config.Error
	switch {
	case loadErr == nil:
		s.ok("%s, which runs as user %s, can read it and the files that it names", unitName,
			service.user)

	case errors.Is(loadErr, errNotUser):
		s.note("whether user %s of %s can read the files is not tested: %s", service.user,
			unitName, loadErr)

	case errors.As(loadErr, &problems):
		for _, p := range problems.Problems {
			s.fail("", "%s runs as user %s, which cannot use it: %s %s", unitName, service.user,
				p.Key, plain(p.Text))
		}

	default:
		s.fail(fmt.Sprintf("chown root:%s %s; chmod 640 %[2]s (the group must be able to enter "+
			"the folder, too: chmod 750)", cmp.Or(service.group, service.user), path),
			"%s runs as user %s, which cannot read it: %s", unitName, service.user,
			plain(loadErr.Error()))
	}
}

// errNotUser is returned where the process cannot act as another user.
var errNotUser = errors.New("this process cannot act as that user")

// asUser calls f on a thread that opens files as a user, and ends the thread.
func asUser(uid, gid int, groups []uint32, f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked, so the runtime ends the thread with the goroutine. The calls below change
		// only this thread, unlike those of package syscall.
		runtime.LockOSThread()

		var first unsafe.Pointer
		if len(groups) > 0 {
			first = unsafe.Pointer(&groups[0])
		}

		_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0)
		if errno != 0 {
			done <- fmt.Errorf("%w: %w", errNotUser, errno)
			return
		}

		// setfsuid(2) reports no error, but returns the value before: the second call shows it. A
		// change from root also removes the right to read every file.
		for _, id := range []struct{ call, want uintptr }{
			{unix.SYS_SETFSGID, uintptr(gid)}, {unix.SYS_SETFSUID, uintptr(uid)},
		} {
			_, _, _ = unix.RawSyscall(id.call, id.want, 0, 0)
			now, _, _ := unix.RawSyscall(id.call, ^uintptr(0), 0, 0)
			if now != id.want {
				done <- errNotUser
				return
			}
		}

		done <- f()
	}()

	return <-done
}
