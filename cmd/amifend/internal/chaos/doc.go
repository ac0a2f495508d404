// Package chaos breaks what amifend stands on, while the real program runs: its process, its disk,
// its PBXs, the kernel. Each round says what must hold, and fails when it does not.
//
//	make chaos                N of a hundred or more where that is quick; about 15 minutes, root
//	make chaos CHAOS=short    a few of each, as CI runs them; about a minute
//
// A round is a function Test… in a file that is named after what is broken. It calls [begin], which
// notes its row in the table that is printed at the end. The rounds have mounts and network
// namespaces of their own: nothing reaches the machine.
//
// What other tests do already, and no round repeats: the table that others delete (daemon,
// meddling_test.go), real Asterisks that restart (e2e), the wire at every split
// (ami), the disk as the journal alone sees it (journal, disk_test.go), the policy on weeks of
// traffic (quality).
package chaos
