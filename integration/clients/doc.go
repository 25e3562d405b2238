// Package clients tests the SQS emulator with clients that are not this project's: boto3, the
// JavaScript SDK v3, the aws CLI, and the SQS driver of the Go Cloud Development Kit.
//
// The emulator's own tests use aws-sdk-go-v2 and would not see a mistake that this SDK tolerates.
// The other SDKs parse errors differently and check MD5s, and the CLI reads its arguments in its
// own ways. The Go Cloud Development Kit has conformance tests for its drivers, which run here
// against the emulator. Each other client runs the same steps in a script of its language, which
// prints OK or what differs. The scripts can be run by hand against any endpoint, with
// AWS_ENDPOINT_URL_SQS, AWS_REGION, AWS_DEFAULT_REGION and dummy credentials in the environment.
//
// A test is skipped where its client is not installed, or is so old that it speaks the Query
// protocol instead of JSON (boto3 and the aws CLI before November 2023, as in Debian 12), unless
// SPILLWAY_REQUIRE_CLIENTS=1 (CI sets it):
//
//	apt-get install awscli python3-boto3                          # Debian 13 or later
//	pip install -r integration/clients/requirements.txt           # elsewhere
//	apt-get install nodejs npm && npm ci --prefix integration/clients   # Node.js 20 or later
//	cd integration/clients/gocloud && go mod download
package clients
