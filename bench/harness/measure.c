/*
 * measure OUTPUT LIMIT_MS WORD... [@then WORD...]...: runs commands one after the other, and writes one
 * line of JSON to the file OUTPUT: wall time from the first spawn to the end of the last command;
 * processor time and the largest resident set of all of them, those who outlive their parents included,
 * for this is their subreaper. "@settle" instead of "@then" waits first until no process is left; "@lap"
 * notes the time until then as well.
 *
 * In C because what is measured takes two milliseconds: starting a process here costs what vfork(2)
 * costs, and the child's peak memory does not begin at a large parent's (the kernel carries it over
 * execve). No shell, no threads.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, EXIT_TIME = 65 };

extern char **environ;

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t microseconds(struct timeval time)
{
	return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

static int is_border(const char *word)
{
	return strcmp(word, "@then") == 0 || strcmp(word, "@settle") == 0 || strcmp(word, "@lap") == 0;
}

/* Reaps everybody: children, and orphans that the kernel has given to us. */
static void settle(void)
{
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

/* Runs one command to its end; what a shell would call its status. */
static int run(char **argv)
{
	pid_t pid;
	int status;
	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) != 0)
		return 127;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Ends what hangs: whoever called sees that no line was written. */
static void out_of_time(int signal)
{
	(void)signal;
	_exit(EXIT_TIME);
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fputs("usage: measure OUTPUT LIMIT_MS WORD... [@then|@settle WORD...]...\n", stderr);
		return EXIT_USAGE;
	}
	const char *output = argv[1];
	int64_t limit_ms = atoll(argv[2]);
	struct itimerspec limit = { .it_value = { limit_ms / 1000, limit_ms % 1000 * 1000000 } };
	timer_t timer;
	signal(SIGALRM, out_of_time);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 || timer_create(CLOCK_MONOTONIC, NULL, &timer) != 0 ||
	    timer_settime(timer, 0, &limit, NULL) != 0) {
		perror("measure");
		return EXIT_USAGE;
	}

	int status = 0;
	struct rusage lap_used = { 0 };
	int64_t lap_ns = 0;
	int64_t began = now_ns();
	for (char **word = argv + 3; *word != NULL && status == 0;) {
		char **end = word;
		while (*end != NULL && !is_border(*end))
			end++;
		int then_settle = *end != NULL && strcmp(*end, "@settle") == 0;
		int then_lap = *end != NULL && strcmp(*end, "@lap") == 0;
		char **next = *end == NULL ? end : end + 1;
		*end = NULL;
		status = run(word);
		if (then_settle && status == 0)
			settle();
		if (then_lap) {
			lap_ns = now_ns() - began;
			getrusage(RUSAGE_CHILDREN, &lap_used);
		}
		word = next;
	}
	int64_t wall_ns = now_ns() - began;
	settle();

	struct rusage used;
	getrusage(RUSAGE_CHILDREN, &used);
	FILE *file = fopen(output, "w");
	if (file == NULL) {
		perror(output);
		return EXIT_USAGE;
	}
	fprintf(file,
		"{\"status\":%d,\"wallNs\":%lld,\"cpuUs\":%lld,\"lapNs\":%lld,\"lapCpuUs\":%lld,\"peakKiB\":%ld}\n",
		status, (long long)wall_ns,
		(long long)(microseconds(used.ru_utime) + microseconds(used.ru_stime)), (long long)lap_ns,
		(long long)(microseconds(lap_used.ru_utime) + microseconds(lap_used.ru_stime)),
		used.ru_maxrss);
	return fclose(file) == 0 ? 0 : EXIT_USAGE;
}
