// Package clients proves the local SQS endpoint with clients that are not Go: boto3, the JavaScript
// SDK v3 and the aws CLI.
//
// Our own tests talk to the endpoint through aws-sdk-go-v2, and a mistake that this SDK forgives
// would go unseen. The other SDKs parse the errors differently, check MD5s of their own accord, and
// the CLI reads its arguments in ways of its own. Each client goes through the same steps in a
// script of its language, which prints OK or says what differed; the scripts can be run by hand
// against any endpoint, with AWS_ENDPOINT_URL_SQS, AWS_REGION, AWS_DEFAULT_REGION and dummy
// credentials in the environment.
//
// Where a client is not installed, or so old that it speaks the Query protocol instead of JSON
// (boto3 and the aws CLI before November 2023, Debian 12's packages among them), its test is
// skipped, unless SPILLWAY_REQUIRE_CLIENTS=1 (CI sets it):
//
//	apt-get install awscli python3-boto3                          # Debian 13 or later
//	pip install -r integration/clients/requirements.txt           # elsewhere
//	apt-get install nodejs npm && npm ci --prefix integration/clients   # Node.js 20 or later
package clients
