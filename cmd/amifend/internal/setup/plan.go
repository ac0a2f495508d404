package setup

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/amifend/amifend/cmd/amifend/internal/pbxconf"
	"github.com/amifend/amifend/cmd/amifend/internal/safefile"
)

// plan holds the changes that init is going to make.
type plan struct {
	files         []file
	takeOver      bool     // the config folder does not belong to root alone
	writesManager bool     // a file gives Asterisk a new manager user
	todo          []string // the steps that are left to a person
}

// file is a file that init writes.
type file struct {
	path   string // without the root
	data   []byte
	rights safefile.Rights
	shown  string // the content for people, without the secret
	state  state
}

// state is the state of a file before init, and decides what init does with it.
type state int

const (
	absent   state = iota // it does not exist, and is written
	same                  // it exists with the same content
	kept                  // it exists with another content, and stays
	replaced              // it exists with another content, and is replaced; a copy is kept
)

// changes reports whether the plan writes any file or changes its rights.
func (p *plan) changes() bool {
	for _, f := range p.files {
		if f.state == absent || f.state == replaced {
			return true
		}
	}
	return p.takeOver
}

// plan decides which files to write.
func (r *run) plan(pbx *pbx, allow allowed) (*plan, error) {
	p := &plan{}
	old, err := r.readOld(p)
	if err != nil {
		return nil, err
	}

	// Both sides need the same secret: that of an earlier run, or that of Asterisk's manager user.
	secret := old.secret
	user, known := pbx.user()
	switch {
	case known && secret == "":
		secret = user.RevealSecret()
	case known && secret != user.RevealSecret() && r.Replace:
		secret = user.RevealSecret()
	case known && secret != user.RevealSecret():
		return nil, advise(fmt.Sprintf("the secret in %s is not that of the manager user [%s] at %s",
			r.own(secretName), userName, user.Where),
			"make them the same, or take over that of Asterisk: amifend init --replace")
	case secret == "":
		secret = newSecret()
	}
	if known && secret == "" {
		return nil, advise(fmt.Sprintf("the manager user [%s] at %s has no secret", userName, user.Where),
			"give it one: secret = ...")
	}

	// The service reads both files by its group.
	private := safefile.Rights{Mode: 0o640, UID: os.Geteuid(), GID: r.GID}
	config := configText(pbx, allow)
	if err := r.add(p, file{
		path: r.own(configName), data: []byte(config), rights: private, shown: config,
	}); err != nil {
		return nil, err
	}

	content := []byte(secret + "\n")
	if secret == old.secret {
		content = old.file // with its own line end, so that the file counts as the same
	}
	if err := r.add(p, file{
		path: r.own(secretName), data: content, rights: private,
		shown: "(the secret of the manager user, which is not shown)\n",
	}); err != nil {
		return nil, err
	}

	// A manager user that exists is somebody's file, so a person has to complete it.
	if known {
		r.say(fmt.Sprintf("  The manager user [%s] is there: %s.", userName, user.Where))
		if !user.Security {
			p.todo = append(p.todo,
				fmt.Sprintf("write read = security into [%s] at %s", userName, user.Where))
		}
		return p, r.unlessEnabled(pbx, p)
	}

	return p, r.planManagerUser(pbx, p, secret)
}

// unlessEnabled leaves it to a person to enable the AMI, if it is disabled.
func (r *run) unlessEnabled(pbx *pbx, p *plan) error {
	if pbx.enable {
		p.todo = append(p.todo, "write into [general] of "+r.AsteriskDir+"/manager.conf:\n"+
			"    enabled = yes\n    bindaddr = 127.0.0.1\nthen: "+r.command("asterisk -rx 'manager reload'"))
	}
	return nil
}

// user returns amifend's manager user in Asterisk's config, and false if there is none.
func (p *pbx) user() (pbxconf.ManagerUser, bool) {
	if p.ami == nil {
		return pbxconf.ManagerUser{}, false
	}
	return p.ami.User(userName)
}

// planManagerUser plans the file with the manager user. If Asterisk reads files of manager.d, it is
// one of them. Otherwise a person has to copy it.
func (r *run) planManagerUser(pbx *pbx, p *plan, secret string) error {
	if !pbx.remote && pbx.ami.IncludesFile(managerFile) {
		rights, err := r.managerRights()
		if err != nil {
			return err
		}

		path := filepath.Join(r.AsteriskDir, managerFile)
		err = r.add(p, file{
			path: path, data: []byte(managerText(pbx, secret)), rights: rights,
			shown: managerText(pbx, "(not shown)"),
		})
		if err != nil {
			return err
		}

		// The file that stays has no such user, or the user would be known by now.
		if p.files[len(p.files)-1].state == kept {
			return advise(path+" exists, and has no manager user ["+userName+"]",
				"move it away, or replace it: amifend init --replace")
		}
		p.writesManager = true
		return nil
	}

	path := r.own(sectionName)
	if err := r.add(p, file{
		path: path, data: []byte(managerText(pbx, secret)),
		rights: safefile.Rights{Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid()},
		shown:  managerText(pbx, "(not shown)"),
	}); err != nil {
		return err
	}

	// From here nobody can see whether another machine has the user. If an earlier run wrote the
	// file, the check will show it.
	if pbx.remote && p.files[len(p.files)-1].state == same {
		return nil
	}
	p.todo = append(p.todo, r.copyAdvice(pbx, path))
	return nil
}

// copyAdvice returns the steps by which a person gives Asterisk the manager user.
func (r *run) copyAdvice(pbx *pbx, path string) string {
	if pbx.remote {
		return "put the section of " + path + " into manager.conf of the PBX\n" +
			"    (FreePBX, Issabel: manager_custom.conf; VitalPBX: a file of its own in the folder\n" +
			"    that manager.conf includes), then run there: asterisk -rx 'manager reload'"
	}

	name, appended := pbx.customFile()
	target := filepath.Join(r.AsteriskDir, name)
	command := "cat " + path + " >> " + target
	if r.Sudo {
		command = "sh -c '" + command + "'" // the shell opens the target, so it must be root's
	}
	if !appended {
		command = "install -m 640 -g asterisk " + path + " " + target
	}
	text := r.command(command) + "\n" + r.command("asterisk -rx 'manager reload'")
	if pbx.kind != plain {
		text += "\n(" + string(pbx.kind) + " overwrites manager.conf, and leaves " + name + " to you.)"
	}
	return text
}

// managerRights returns the rights of a file in manager.d: the owner and the group of manager.conf,
// and never readable by everybody.
func (r *run) managerRights() (safefile.Rights, error) {
	folder, err := safefile.Open(r.at(r.AsteriskDir))
	if err != nil {
		return safefile.Rights{}, asteriskDirError(err)
	}
	defer folder.Close()

	st, err := folder.Stat("manager.conf")
	if err != nil {
		return safefile.Rights{}, err
	}

	rights := safefile.RightsOf(st)
	rights.Mode = 0o640
	if rights.GID != 0 || st.Mode&0o004 == 0 {
		return rights, nil
	}

	// If everybody may read manager.conf, its group need not be that of Asterisk. The group of the
	// folder is, or the one named asterisk.
	if dir, err := folder.Stat("."); err == nil && dir.Gid != 0 {
		rights.GID = int(dir.Gid)
	} else if gid, ok := r.asteriskGroup(); ok {
		rights.GID = gid
	}
	return rights, nil
}

// asteriskDirError returns an error of Asterisk's config folder. For a symlink it adds advice.
func asteriskDirError(err error) error {
	if link, ok := errors.AsType[*safefile.LinkError](err); ok {
		return advise(link.Error(), "name the real folder: amifend init --asterisk-dir FOLDER")
	}
	return err
}

// quickstart is the hash of examples/quickstart/config.toml, which make install writes. A config
// with this hash was not edited, so it is replaced without a question.
const quickstart = "663a2569593cf02c9669cf02bd80eaf562598b71c21e166b4e23caf2f05b512a"

// add adds a file to the plan, with its state.
func (r *run) add(p *plan, f file) error {
	folder, err := safefile.Open(r.at(filepath.Dir(f.path)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.files = append(p.files, f)
		return nil
	case err != nil:
		return asteriskDirError(err)
	}
	defer folder.Close()

	// A file of the same content is left alone, so that init can be run again.
	old, err := folder.Read(filepath.Base(f.path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.state = absent
	case err != nil:
		return asteriskDirError(err)
	case bytes.Equal(old, f.data):
		f.state = same
	case len(bytes.TrimSpace(old)) == 0, hash(old) == quickstart, r.Replace:
		f.state = replaced
	default:
		f.state = kept
		if err := r.askToReplace(&f); err != nil {
			return err
		}
	}

	p.files = append(p.files, f)
	return nil
}

// askToReplace asks whether a file that is there is to be replaced.
func (r *run) askToReplace(f *file) error {
	if r.Ask == nil || r.DryRun {
		return nil
	}
	// Above the question, which must not be higher than the screen.
	r.say("\n" + f.path + " is there already, with another content. The new one would be:\n\n" + indent(f.shown))
	ok, err := r.Ask.Confirm("Replace "+f.path+"?", "A copy of the old one is kept.", false)
	if ok {
		f.state = replaced
	}
	return err
}

// old is the secret that the config folder has already.
type old struct {
	secret string
	file   []byte // the whole file, with its line end
}

// readOld reads the secret in the config folder. It plans to take the folder over if others than
// root can change it.
func (r *run) readOld(p *plan) (o old, err error) {
	folder, err := safefile.Open(r.at(r.ConfigDir))
	if errors.Is(err, fs.ErrNotExist) {
		return old{}, nil
	}
	if err != nil {
		return old{}, err
	}
	defer folder.Close()

	st, err := folder.Stat(".")
	if err != nil {
		return old{}, err
	}
	p.takeOver = int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0

	// Somebody else may have made a name a hard link to a file that only root may read.
	for _, name := range []string{configName, secretName} {
		st, err := folder.Stat(name)
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink > 1 {
			return old{}, advise(r.own(name)+" has another name elsewhere (a hard link)",
				"look at it, and remove it if it is not yours")
		}
	}

	b, err := folder.Read(secretName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return old{}, err
	}

	return old{strings.TrimRight(string(b), "\r\n"), b}, nil
}

// own returns the path of a file in the config folder.
func (r *run) own(name string) string { return filepath.Join(r.ConfigDir, name) }

// newSecret returns a random secret of 192 bits. It has no character with a meaning in
// manager.conf.
func newSecret() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

// indent returns a text to be shown below its title.
func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}

// show prints the plan.
func (r *run) show(p *plan) {
	if p.takeOver {
		r.say(fmt.Sprintf("\n%s belongs to another user than root: it becomes root:%d, 0750, and "+
			"its files 0640", r.ConfigDir, r.GID))
	}

	for _, f := range p.files {
		switch f.state {
		case same:
			r.say("\n" + f.path + ": is there already")
			continue
		case kept:
			r.say("\n" + f.path + ": is there with another content, and stays (--replace writes " +
				"it anew)")
			if filepath.Base(f.path) == configName {
				r.say("    Compare its [allow] with: amifend check --pbx-config " + r.AsteriskDir)
			}
			continue
		case replaced:
			r.say(fmt.Sprintf("\n%s: replaced, with a copy of the old one (mode %04o):\n", f.path,
				f.rights.Mode))
		case absent:
			r.say(fmt.Sprintf("\n%s: new (mode %04o):\n", f.path, f.rights.Mode))
		}
		r.say(indent(f.shown))
	}

	// Without --dry-run, these steps come at the end.
	if len(p.todo) > 0 && r.DryRun {
		r.say("\nLeft to you:\n  " + strings.ReplaceAll(strings.Join(p.todo, "\n"), "\n", "\n  "))
	}
}
