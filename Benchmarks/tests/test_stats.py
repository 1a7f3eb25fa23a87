"""Medians, ratios and percentiles of known samples."""

import random
import unittest

from ringbench import stats


class Percentiles(unittest.TestCase):
    def test_a_percentile_between_two_ranks_is_interpolated(self):
        self.assertEqual(stats.percentile([1, 2, 3, 4], 0.5), 2.5)
        self.assertEqual(stats.percentile([4, 1, 3, 2], 0.0), 1)
        self.assertEqual(stats.percentile([4, 1, 3, 2], 1.0), 4)

    def test_a_histogram_answers_the_bucket_that_holds_the_rank(self):
        histogram = [(10, 50), (20, 49), (1000, 1)]
        self.assertEqual(stats.histogram_percentile(histogram, 0.50), 10)
        self.assertEqual(stats.histogram_percentile(histogram, 0.51), 20)
        self.assertEqual(stats.histogram_percentile(histogram, 0.99), 20)
        self.assertEqual(stats.histogram_percentile(histogram, 0.999), 1000)

    def test_an_empty_histogram_has_no_percentile(self):
        self.assertIsNone(stats.histogram_percentile([], 0.5))

    def test_merged_histograms_count_equal_buckets_together(self):
        self.assertEqual(stats.merge_histograms([[(1, 2), (9, 1)], [(1, 3), (4, 1)]]), [(1, 5), (4, 1), (9, 1)])


class PairedRatios(unittest.TestCase):
    def test_only_rounds_that_both_have_are_paired(self):
        ratio = stats.paired_ratio({0: 10.0, 1: 20.0, 2: 30.0}, {1: 10.0, 2: 10.0, 3: 1.0})
        self.assertEqual((ratio.value, ratio.count), (2.5, 2))

    def test_too_few_pairs_get_no_interval(self):
        ratio = stats.paired_ratio({0: 1.0, 1: 1.0}, {0: 2.0, 1: 2.0})
        self.assertIsNone(ratio.low)
        self.assertFalse(ratio.excludes(0.9, 1.1))

    def test_series_without_a_common_round_have_no_ratio(self):
        self.assertIsNone(stats.paired_ratio({0: 1.0}, {1: 1.0}))

    def test_a_drift_that_meets_both_cancels_out(self):
        drift = [1.0, 1.5, 3.0, 0.7, 2.2]
        ratio = stats.paired_ratio({r: 0.8 * d for r, d in enumerate(drift)}, dict(enumerate(drift)))
        self.assertAlmostEqual(ratio.value, 0.8)
        self.assertAlmostEqual(ratio.low, 0.8)
        self.assertAlmostEqual(ratio.high, 0.8)

    def test_the_same_samples_give_the_same_interval(self):
        chance = random.Random(7)
        ours = {r: chance.gauss(10, 1) for r in range(9)}
        theirs = {r: chance.gauss(10, 1) for r in range(9)}
        self.assertEqual(stats.paired_ratio(ours, theirs), stats.paired_ratio(ours, theirs))

    def test_intervals_hold_the_true_ratio_about_as_often_as_they_say(self):
        chance, held, trials = random.Random(11), 0, 120
        for _ in range(trials):
            ours = {r: chance.lognormvariate(0.0, 0.1) for r in range(9)}
            theirs = {r: chance.lognormvariate(0.0, 0.1) for r in range(9)}
            held += not stats.paired_ratio(ours, theirs).excludes(1, 1)
        self.assertGreater(held / trials, 0.85)
        self.assertLess(held / trials, 1.0)

    def test_an_interval_beyond_the_threshold_is_a_change_and_one_that_reaches_it_is_not(self):
        self.assertTrue(stats.Estimate(1.1, 1.05, 1.2, 9).excludes(0.97, 1.03))
        self.assertTrue(stats.Estimate(0.9, 0.85, 0.96, 9).excludes(0.97, 1.03))
        self.assertFalse(stats.Estimate(1.1, 1.02, 1.2, 9).excludes(0.97, 1.03))


if __name__ == "__main__":
    unittest.main()
