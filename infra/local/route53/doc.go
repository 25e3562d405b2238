// Package route53 answers for one name in front of several regions as Route 53 does with latency
// records and health checks on CloudWatch alarms, on one machine and in virtual time.
//
// It exists because a failover is only as good as Route 53's rules about an alarm, which are not
// CloudWatch's: it reads the alarm's data and not its state, knows neither M of N nor how the alarm
// treats missing data, and answers as if every region were healthy when none is. A [Check] is the
// health check of one region's record, a [Name] has the records, and a [Resolver] is what keeps an
// answer for as long as the record allows, however ill the region is by then.
//
// Time is what the caller says it is: a drill passes that of its bubble, and a test in real time
// may let a minute take a second without another number than production's.
package route53
