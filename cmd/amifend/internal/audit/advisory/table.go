package advisory

import "github.com/amifend/amifend/cmd/amifend/internal/audit/finding"

// Date is the day of the table: that of the newest commit which was read for it.
const Date = "2026-08-07"

// Advisory is one security advisory.
type Advisory struct {
	ID       string
	CVE      string // other names, separated by spaces; "": none is known here
	Date     string // of the releases with the fix
	Severity finding.Severity
	What     string            // what an attacker does
	Fixed    map[string]string // by branch: the first release with the fix
	Since    map[string]string // by branch: the first release with the weakness; nil: all before Fixed
}

// branch is a line of releases.
type branch struct {
	last  string // release in the table
	ended bool   // it gets no fixes any more
}

// branches are the lines of releases, with their last tag at the date of the table. A line ended if
// it did not get the fixes of 2026-06-25.
var branches = map[string]branch{
	"16":             {"16.30.1", true},
	"17":             {"17.9.4", true},
	"18":             {"18.26.4", true},
	"19":             {"19.8.1", true},
	"20":             {"20.20.1", false},
	"21":             {"21.12.3", false},
	"22":             {"22.10.1", false},
	"23":             {"23.4.1", false},
	"certified-16.3": {"certified-16.3-cert1", true},
	"certified-16.8": {"certified-16.8-cert14", true},
	"certified-18.9": {"certified-18.9-cert18", true},
	"certified-20.7": {"certified-20.7-cert11", false},
	"certified-22.8": {"certified-22.8-cert4", false},
}

// table holds all advisories, the oldest first.
var table = []Advisory{
	{
		ID: "AST-2021-001", CVE: "CVE-2020-35776",
		Date: "2021-02-18", Severity: finding.Medium,
		What: "a crash by SIP or RTP (one of four that were fixed together)",
		Fixed: map[string]string{
			"16": "16.16.1", "17": "17.9.2", "18": "18.2.1",
		},
	},
	{
		ID: "AST-2021-002", CVE: "CVE-2021-26717",
		Date: "2021-02-18", Severity: finding.Medium,
		What: "a crash while T.38 is negotiated",
		Fixed: map[string]string{
			"16": "16.16.1", "17": "17.9.2", "18": "18.2.1",
			"certified-16.8": "certified-16.8-cert6",
		},
	},
	{
		ID: "AST-2021-003", CVE: "CVE-2021-26712",
		Date: "2021-02-18", Severity: finding.Medium,
		What: "a crash or a broken call by SIP or RTP (one of four that were fixed together)",
		Fixed: map[string]string{
			"16": "16.16.1", "17": "17.9.2", "18": "18.2.1",
		},
	},
	{
		ID: "AST-2021-004", CVE: "CVE-2021-26713",
		Date: "2021-02-18", Severity: finding.Medium,
		What: "a crash by SIP or RTP (one of four that were fixed together)",
		Fixed: map[string]string{
			"16": "16.16.1", "17": "17.9.2", "18": "18.2.1",
		},
	},
	{
		ID: "AST-2021-005", CVE: "CVE-2021-26906",
		Date: "2021-02-18", Severity: finding.Medium,
		What: "a crash by SIP or RTP (one of four that were fixed together)",
		Fixed: map[string]string{
			"16": "16.16.1", "17": "17.9.2", "18": "18.2.1",
		},
	},
	{
		ID: "AST-2021-006", CVE: "",
		Date: "2021-03-04", Severity: finding.Medium,
		What: "a crash while T.38 is negotiated",
		Fixed: map[string]string{
			"16": "16.16.2", "17": "17.9.3", "18": "18.2.2",
			"certified-16.8": "certified-16.8-cert7",
		},
	},
	{
		ID: "AST-2021-007", CVE: "CVE-2021-31878",
		Date: "2021-07-22", Severity: finding.Medium,
		What: "a crash by a re-INVITE without SDP after the BYE",
		Fixed: map[string]string{
			"16": "16.19.1", "18": "18.5.1",
		},
	},
	{
		ID: "AST-2021-008", CVE: "CVE-2021-32558",
		Date: "2021-07-22", Severity: finding.High,
		What: "anybody crashes Asterisk over IAX2",
		Fixed: map[string]string{
			"16": "16.19.1", "17": "17.9.4", "18": "18.5.1",
			"certified-16.8": "certified-16.8-cert10",
		},
	},
	{
		ID: "AST-2021-009", CVE: "CVE-2021-32686",
		Date: "2021-07-22", Severity: finding.High,
		What: "anybody crashes Asterisk during a TLS handshake",
		Fixed: map[string]string{
			"16": "16.19.1", "17": "17.9.4", "18": "18.5.1",
			"certified-16.8": "certified-16.8-cert10",
		},
	},
	{
		ID: "AST-2022-004", CVE: "",
		Date: "2022-03-04", Severity: finding.High,
		What: "damaged memory by a STUN message",
		Fixed: map[string]string{
			"16": "16.24.1", "18": "18.10.1", "19": "19.2.1",
			"certified-16.8": "certified-16.8-cert13",
		},
	},
	{
		ID: "AST-2022-005", CVE: "",
		Date: "2022-03-04", Severity: finding.High,
		What: "damaged memory after a dialog was freed",
		Fixed: map[string]string{
			"16": "16.24.1", "18": "18.10.1", "19": "19.2.1",
			"certified-16.8": "certified-16.8-cert13",
		},
	},
	{
		ID: "AST-2022-006", CVE: "CVE-2022-21723",
		Date: "2022-03-04", Severity: finding.High,
		What: "a read out of bounds by a malformed multipart message",
		Fixed: map[string]string{
			"16": "16.24.1", "18": "18.10.1", "19": "19.2.1",
			"certified-16.8": "certified-16.8-cert13",
		},
	},
	{
		ID: "AST-2022-001", CVE: "CVE-2022-26498",
		Date: "2022-04-14", Severity: finding.Medium,
		What: "a full disk by STIR/SHAKEN certificates without a limit of size",
		Fixed: map[string]string{
			"16": "16.25.2", "18": "18.11.2", "19": "19.3.2",
		},
	},
	{
		ID: "AST-2022-002", CVE: "CVE-2022-26499",
		Date: "2022-04-14", Severity: finding.Medium,
		What: "requests to the inner network by the Identity header of STIR/SHAKEN",
		Fixed: map[string]string{
			"16": "16.25.2", "18": "18.11.2", "19": "19.3.2",
		},
	},
	{
		ID: "CVE-2022-42706", CVE: "CVE-2022-42705 CVE-2022-37325",
		Date: "2022-12-01", Severity: finding.Medium,
		What: "manager users read any file; also damaged memory by SIP transports, a crash by H.323",
		Fixed: map[string]string{
			"16": "16.29.1", "18": "18.15.1", "19": "19.7.1", "20": "20.0.1",
			"certified-18.9": "certified-18.9-cert3",
		},
	},
	{
		ID: "CVE-2022-39244", CVE: "CVE-2022-31031 CVE-2022-39269",
		Date: "2022-12-01", Severity: finding.High,
		What: "damaged memory by SIP, STUN or SRTP (pjproject 2.13)",
		Fixed: map[string]string{
			"16": "16.29.1", "18": "18.15.1", "19": "19.7.1", "20": "20.0.1",
			"certified-18.9": "certified-18.9-cert3",
		},
	},
	{
		ID: "GHSA-9pfh-r8x4-w26w", CVE: "GHSA-cxwq-5g9x-x7fr CVE-2022-23537 CVE-2022-23547",
		Date: "2023-07-07", Severity: finding.Medium,
		What: "damaged memory (pjproject before 2.13.1)",
		Fixed: map[string]string{
			"16": "16.30.1", "18": "18.18.1", "19": "19.8.1", "20": "20.3.1",
			"certified-18.9": "certified-18.9-cert5",
		},
	},
	{
		ID: "GHSA-hxj9-xwr8-w8pq", CVE: "CVE-2023-49786",
		Date: "2023-12-14", Severity: finding.Medium,
		What: "anybody keeps new calls with DTLS-SRTP from working",
		Fixed: map[string]string{
			"18": "18.20.1", "20": "20.5.1", "21": "21.0.1",
			"certified-18.9": "certified-18.9-cert6",
		},
	},
	{
		ID: "CVE-2023-49294", CVE: "",
		Date: "2023-12-14", Severity: finding.Medium,
		What: "manager users read any file by GetConfig",
		Fixed: map[string]string{
			"18": "18.20.1", "20": "20.5.1", "21": "21.0.1",
			"certified-18.9": "certified-18.9-cert6",
		},
	},
	{
		ID: "CVE-2023-37457", CVE: "",
		Date: "2023-12-14", Severity: finding.Low,
		What: "damaged memory where the dialplan updates a SIP header with a caller's text",
		Fixed: map[string]string{
			"18": "18.20.1", "20": "20.5.1", "21": "21.0.1",
			"certified-18.9": "certified-18.9-cert6",
		},
	},
	{
		ID: "GHSA-qqxj-v78h-hrf9", CVE: "CVE-2024-35190",
		Date: "2024-05-17", Severity: finding.Critical,
		What: "every unauthorized request is taken for a local endpoint: anybody makes calls",
		Fixed: map[string]string{
			"18": "18.23.1", "20": "20.8.1", "21": "21.3.1",
		},
		Since: map[string]string{"18": "18.23.0", "20": "20.8.0", "21": "21.3.0"},
	},
	{
		ID: "GHSA-c4cg-9275-6w44", CVE: "CVE-2024-42365",
		Date: "2024-08-08", Severity: finding.High,
		What: "manager users with write = originate run programs",
		Fixed: map[string]string{
			"18": "18.24.2", "20": "20.9.2", "21": "21.4.2",
			"certified-18.9": "certified-18.9-cert11",
			"certified-20.7": "certified-20.7-cert2",
		},
	},
	{
		ID: "GHSA-v428-g3cw-7hv9", CVE: "CVE-2024-42491",
		Date: "2024-09-05", Severity: finding.High,
		What: "a crash by a malformed URI, where res_resolver_unbound is loaded",
		Fixed: map[string]string{
			"18": "18.24.3", "20": "20.9.3", "21": "21.4.3",
			"certified-18.9": "certified-18.9-cert12",
			"certified-20.7": "certified-20.7-cert3",
		},
	},
	{
		ID: "GHSA-33x6-fj46-6rfh", CVE: "CVE-2024-53566",
		Date: "2025-01-09", Severity: finding.Medium,
		What: "manager users read outside of the config folder by ListCategories",
		Fixed: map[string]string{
			"18": "18.26.1", "20": "20.11.1", "21": "21.6.1", "22": "22.1.1",
			"certified-18.9": "certified-18.9-cert13",
			"certified-20.7": "certified-20.7-cert4",
		},
	},
	{
		ID: "GHSA-2grh-7mhv-fcfw", CVE: "CVE-2025-47779",
		Date: "2025-05-22", Severity: finding.Medium,
		What: "an account sends messages in the name of another",
		Fixed: map[string]string{
			"18": "18.26.2", "20": "20.14.1", "21": "21.9.1", "22": "22.4.1",
			"certified-18.9": "certified-18.9-cert14",
			"certified-20.7": "certified-20.7-cert5",
		},
	},
	{
		ID: "GHSA-c7p6-7mvq-8jq2", CVE: "CVE-2025-47780",
		Date: "2025-05-22", Severity: finding.Low,
		What: "users of the console run shell commands that cli_permissions.conf denies",
		Fixed: map[string]string{
			"18": "18.26.2", "20": "20.14.1", "21": "21.9.1", "22": "22.4.1",
			"certified-18.9": "certified-18.9-cert14",
			"certified-20.7": "certified-20.7-cert5",
		},
	},
	{
		ID: "GHSA-mrq5-74j5-f5cr", CVE: "CVE-2025-49832",
		Date: "2025-07-31", Severity: finding.Medium,
		What: "a crash by the Identity header, where STIR/SHAKEN is used",
		Fixed: map[string]string{
			"18": "18.26.3", "20": "20.15.1", "21": "21.10.1", "22": "22.5.1",
			"certified-20.7": "certified-20.7-cert7",
		},
	},
	{
		ID: "GHSA-v9q8-9j8m-5xwp", CVE: "",
		Date: "2025-07-31", Severity: finding.Medium,
		What: "a local user who may write startup.d becomes root by safe_asterisk",
		Fixed: map[string]string{
			"18": "18.26.3", "20": "20.15.1", "21": "21.10.1", "22": "22.5.1",
			"certified-18.9": "certified-18.9-cert16",
			"certified-20.7": "certified-20.7-cert7",
		},
	},
	{
		ID: "GHSA-557q-795j-wfx2", CVE: "",
		Date: "2025-08-28", Severity: finding.Medium,
		What: "RTP ports are used up (pjproject before 2.15.1)",
		Fixed: map[string]string{
			"18": "18.26.4", "certified-18.9": "certified-18.9-cert17",
		},
	},
	{
		ID: "GHSA-64qc-9x89-rx5j", CVE: "CVE-2025-57767",
		Date: "2025-08-28", Severity: finding.High,
		What: "a malformed Authorization header crashes Asterisk",
		Fixed: map[string]string{
			"20": "20.15.2", "21": "21.10.2", "22": "22.5.2",
		},
		Since: map[string]string{"20": "20.12.0", "21": "21.7.0", "22": "22.2.0"},
	},
	{
		ID: "GHSA-85x7-54wr-vh42", CVE: "",
		Date: "2026-02-05", Severity: finding.Medium,
		What: "XML files read other files and addresses (XXE)",
		Fixed: map[string]string{
			"20": "20.18.2", "21": "21.12.1", "22": "22.8.2", "23": "23.2.2",
			"certified-20.7": "certified-20.7-cert9",
		},
	},
	{
		ID: "GHSA-rvch-3jmx-3jf3", CVE: "",
		Date: "2026-02-05", Severity: finding.Medium,
		What: "a local user becomes root when ast_coredumper runs",
		Fixed: map[string]string{
			"20": "20.18.2", "21": "21.12.1", "22": "22.8.2", "23": "23.2.2",
			"certified-20.7": "certified-20.7-cert9",
		},
	},
	{
		ID: "GHSA-xpc6-x892-v83c", CVE: "",
		Date: "2026-02-05", Severity: finding.Medium,
		What: "a local user becomes root when ast_coredumper runs",
		Fixed: map[string]string{
			"20": "20.18.2", "21": "21.12.1", "22": "22.8.2", "23": "23.2.2",
			"certified-20.7": "certified-20.7-cert9",
		},
	},
	{
		ID: "GHSA-v6hp-wh3r-cwxh", CVE: "CVE-2026-23738",
		Date: "2026-02-05", Severity: finding.Medium,
		What: "/httpstatus runs scripts in the browser of who follows a link",
		Fixed: map[string]string{
			"20": "20.18.2", "21": "21.12.1", "22": "22.8.2", "23": "23.2.2",
			"certified-20.7": "certified-20.7-cert9",
		},
	},
	{
		ID: "GHSA-j29p-pvh2-pvqp", CVE: "",
		Date: "2026-03-26", Severity: finding.High,
		What: "damaged memory by a long user name of ICE",
		Fixed: map[string]string{
			"20": "20.19.0", "21": "21.12.2", "22": "22.9.0", "23": "23.3.0",
			"certified-20.7": "certified-20.7-cert10",
			"certified-22.8": "certified-22.8-cert2",
		},
	},
	{
		ID: "GHSA-8fj4-fv9f-hjpc", CVE: "",
		Date: "2026-03-26", Severity: finding.High,
		What: "damaged memory by the end of a presence subscription",
		Fixed: map[string]string{
			"20": "20.19.0", "21": "21.12.2", "22": "22.9.0", "23": "23.3.0",
			"certified-20.7": "certified-20.7-cert10",
			"certified-22.8": "certified-22.8-cert2",
		},
	},
	{
		ID: "GHSA-g88q-c2hm-q7p7", CVE: "",
		Date: "2026-03-26", Severity: finding.Medium,
		What: "damaged memory by a race in ICE",
		Fixed: map[string]string{
			"20": "20.19.0", "21": "21.12.2", "22": "22.9.0", "23": "23.3.0",
			"certified-20.7": "certified-20.7-cert10",
			"certified-22.8": "certified-22.8-cert2",
		},
	},
	{
		ID: "GHSA-x5pq-qrp4-fmrj", CVE: "",
		Date: "2026-03-26", Severity: finding.Medium,
		What: "a read out of bounds by a multipart message of SIP",
		Fixed: map[string]string{
			"20": "20.19.0", "21": "21.12.2", "22": "22.9.0", "23": "23.3.0",
			"certified-20.7": "certified-20.7-cert10",
			"certified-22.8": "certified-22.8-cert2",
		},
	},
	{
		ID: "GHSA-589g-qgf8-m6mx", CVE: "",
		Date: "2026-06-25", Severity: finding.High,
		What: "one NOTIFY without a password stops SIP until a restart",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-8jw3-ccr9-xrmf", CVE: "",
		Date: "2026-06-25", Severity: finding.High,
		What: "a NOTIFY reads out of bounds",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-g8q2-p36q-94f6", CVE: "",
		Date: "2026-06-25", Severity: finding.High,
		What: "damaged memory when a TCP or TLS connection ends at the wrong moment",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-j2mm-57pq-jh94", CVE: "",
		Date: "2026-06-25", Severity: finding.High,
		What: "damaged memory by real-time text (T.140 RED)",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-vfhr-r9x9-c687", CVE: "",
		Date: "2026-06-25", Severity: finding.High,
		What: "damaged memory by real-time text (T.140 RED)",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-3rhj-hhw7-m6fw", CVE: "",
		Date: "2026-06-25", Severity: finding.Medium,
		What: "a crash by a login to the AMI over HTTP",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-vrfp-mg3q-3959", CVE: "",
		Date: "2026-06-25", Severity: finding.Medium,
		What: "ARI programs call functions that live_dangerously = no should forbid",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-wcvv-g26m-wx5c", CVE: "",
		Date: "2026-06-25", Severity: finding.Medium,
		What: "read-only users of ARI change things over WebSocket",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-4pgv-j3mr-3rcp", CVE: "",
		Date: "2026-06-25", Severity: finding.Medium,
		What: "an error page runs scripts in the browser of who follows a link",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-r6c2-hwc2-j4mp", CVE: "",
		Date: "2026-06-25", Severity: finding.Low,
		What: "text of a caller in a search of LDAP, where realtime uses it",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-746q-794h-cc7f", CVE: "",
		Date: "2026-06-25", Severity: finding.Low,
		What: "a read out of bounds by H.323, where chan_ooh323 is loaded",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-x348-j6c9-77f3", CVE: "",
		Date: "2026-06-25", Severity: finding.Low,
		What: "damaged memory by H.323, where chan_ooh323 is loaded",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-h5hv-jmgj-92q2", CVE: "",
		Date: "2026-06-25", Severity: finding.Low,
		What: "a crash by H.323, where chan_ooh323 is loaded",
		Fixed: map[string]string{
			"21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-3g56-cgrh-95p5", CVE: "",
		Date: "2026-06-25", Severity: finding.Low,
		What: "damaged memory by UNIStim, where chan_unistim is loaded",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-8jhw-m2hg-vp3h", CVE: "",
		Date: "2026-06-25", Severity: finding.Low,
		What: "damaged memory by a Speex file",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-mxgm-8c6f-5p8f", CVE: "",
		Date: "2026-06-25", Severity: finding.Low,
		What: "damaged memory by XMPP, where res_xmpp is loaded",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-ph27-3m5q-mj5m", CVE: "",
		Date: "2026-06-25", Severity: finding.Low,
		What: "SQL by the event type of CEL, where cel_pgsql or cel_tds is loaded",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-q9fr-m7g8-6ph5", CVE: "",
		Date: "2026-06-25", Severity: finding.Low,
		What: "damaged memory by SMS(), where the dialplan uses it",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-qf8j-jp7h-c5hx", CVE: "",
		Date: "2026-06-25", Severity: finding.Low,
		What: "a read out of bounds by Codec2",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
	{
		ID: "GHSA-xgj6-2gc5-5x9c", CVE: "",
		Date: "2026-06-25", Severity: finding.Low,
		What: "a local user runs programs as who runs ast_loggrabber",
		Fixed: map[string]string{
			"20": "20.20.1", "21": "21.12.3", "22": "22.10.1", "23": "23.4.1",
			"certified-20.7": "certified-20.7-cert11",
			"certified-22.8": "certified-22.8-cert3",
		},
	},
}
