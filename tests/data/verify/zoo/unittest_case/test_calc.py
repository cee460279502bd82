import unittest

from calc import Scale, double


class TestCalc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scale = Scale(3)

    def test_double(self):
        self.assertEqual(double(2), 4)

    def test_scale(self):
        for value in range(3):
            with self.subTest(value=value):
                self.assertEqual(self.scale.of(value), value * 6)
